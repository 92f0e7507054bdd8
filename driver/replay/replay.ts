/** Writes a log of writes onto a file: all of it, up to a place, or with a check at each flush. */
import { spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, constants as fs, openSync, rmSync } from 'node:fs';
import { errnoName, LoopError } from '../errno.js';
import { alignedMemory } from '../io/aligned.js';
import { readFully } from '../io/transfer.js';
import { FileStore } from '../store/file-store.js';
import { LogFlag } from '../store/log/format.js';
import { LogError, LogReader, type ReadEntry } from '../store/log/log-reader.js';
import { NO_TOOLS } from '../store/thread-tools.js';

export interface Replay {
  readonly log: string;
  readonly onto: string;
  /** Ends behind this mark, or behind so many entries; both null: all of it. */
  readonly toMark: string | null;
  readonly toEntry: number | null;
  /** A shell command that is run at each flush, with the image as NBDLOOP_IMAGE; null: none. */
  readonly check: string | null;
  /** The check has the file itself; else a copy of it. */
  readonly inPlace: boolean;
}

export interface Replayed {
  readonly entries: number;
  readonly checks: number;
  /** The first entry at which the check failed, and its exit status. */
  readonly failed: { readonly entry: number; readonly status: number | string } | null;
}

const PUNCH = { punch: true, fast: false } as const;
const PIECE = 1 << 20;

/** Throws LoopError: EINVAL for what is no log, ENOENT for a mark that it has not, and what the files answer. */
export function replay(wanted: Replay): Replayed {
  return withLog(wanted.log, (reader, log) => {
    const fd = open(wanted.onto, fs.O_RDWR);
    try {
      return new Replaying(wanted, reader, log, fd).run();
    } finally {
      closeSync(fd);
    }
  });
}

/** Every entry, a line each. */
export const listed = (log: string): string =>
  withLog(log, (reader) => [...reader.read()].map((entry) => `${described(entry)}\n`).join(''));

/** `12 write 4096+8192 fua`, positions and lengths in bytes. */
export function described({ number, flags, position, length, mark }: ReadEntry): string {
  if ((flags & LogFlag.MARK) !== 0) return `${number} mark ${mark}`;
  const range = length === 0 ? '' : ` ${position}+${length}`;
  const what = (flags & LogFlag.DISCARD) !== 0 ? 'discard' : length === 0 ? 'flush' : 'write';
  const flush = what !== 'flush' && (flags & LogFlag.FLUSH) !== 0 ? ' flush' : '';
  const fua = (flags & LogFlag.FUA) !== 0 ? ' fua' : '';
  return `${number} ${what}${range}${flush}${fua}${(flags & LogFlag.METADATA) === 0 ? '' : ' metadata'}`;
}

function withLog<T>(log: string, work: (reader: LogReader, fd: number) => T): T {
  const fd = open(log, fs.O_RDONLY);
  try {
    return work(new LogReader(fd), fd);
  } catch (error) {
    if (error instanceof LogError) throw new LoopError('EINVAL', `${log}: ${error.message}`);
    throw error;
  } finally {
    closeSync(fd);
  }
}

const open = (path: string, flags: number): number => {
  try {
    return openSync(path, flags);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'EIO';
    throw new LoopError(code as LoopError['errno'], `${path}: it can't be opened`);
  }
};

class Replaying {
  readonly #store: FileStore;
  readonly #memory = alignedMemory(PIECE);
  #checks = 0;

  constructor(
    private readonly wanted: Replay,
    private readonly reader: LogReader,
    private readonly log: number,
    onto: number,
  ) {
    const zeroed = { value: 0, increment: (): void => {} };
    this.#store = new FileStore({ fd: onto, alignment: 1, tellsHoles: false }, NO_TOOLS, zeroed);
  }

  run(): Replayed {
    const { toMark, toEntry, log } = this.wanted;
    let entries = 0;
    if (toEntry !== null && toEntry > this.reader.entries) {
      throw new LoopError('EINVAL', `${log} has ${this.reader.entries} entries, not ${toEntry}`);
    }
    for (const entry of this.reader.read()) {
      if (toEntry !== null && entry.number > toEntry) break;
      this.#apply(entry);
      entries = entry.number;
      const status = this.#check(entry);
      if (status !== 0) return { entries, checks: this.#checks, failed: { entry: entry.number, status } };
      if (toMark !== null && (entry.flags & LogFlag.MARK) !== 0 && entry.mark === toMark)
        return this.#done(entries);
    }
    if (toMark !== null)
      throw new LoopError('ENOENT', `${log} has no mark '${toMark}'; all of it was written`);
    return this.#done(entries);
  }

  #done(entries: number): Replayed {
    this.#expect(this.#store.flush(), entries);
    return { entries, checks: this.#checks, failed: null };
  }

  #apply({ number, flags, position, length, dataAt }: ReadEntry): void {
    if ((flags & LogFlag.DISCARD) !== 0) {
      if (length > 0) this.#expect(this.#store.zero(position, length, PUNCH), number);
      return;
    }
    if ((flags & LogFlag.MARK) !== 0) return;
    for (let at = 0; at < length; at += PIECE) {
      const bytes = Math.min(PIECE, length - at);
      this.#expect(readFully(this.log, this.#memory.address, bytes, dataAt + at), number);
      this.#expect(this.#store.write(this.#memory.address, position + at, bytes), number);
    }
  }

  #expect(errno: number, entry: number): void {
    if (errno === 0) return;
    throw new LoopError(errnoName(errno), `${this.wanted.onto}: entry ${entry} can't be written`);
  }

  /** The exit status of the check, or the signal that ended it; 0: it is well, or there is nothing to check here. */
  #check({ number, flags }: ReadEntry): number | string {
    const { check, onto, inPlace } = this.wanted;
    if (check === null || (flags & LogFlag.FLUSH) === 0) return 0;
    this.#checks++;
    const image = inPlace ? onto : `${onto}.check`;
    if (!inPlace) copyFileSync(onto, image, fs.COPYFILE_FICLONE);
    try {
      const env = { ...process.env, NBDLOOP_IMAGE: image, NBDLOOP_ENTRY: String(number) };
      const { status, signal } = spawnSync(check, { shell: '/bin/sh', stdio: 'inherit', env });
      return status ?? signal ?? 'unknown';
    } finally {
      if (!inPlace) rmSync(image, { force: true });
    }
  }
}
