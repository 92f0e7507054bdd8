/**
 * Programs that write files at random, as fsstress does, while the power may go at any moment; and what must be there afterwards: every
 * file that was fsynced is whole.
 */
import { existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../helpers/process.js';
import type { Random } from '../helpers/random.js';
import { tool } from '../helpers/tools.js';
import type { Load } from './load.js';
import { beginningOf, stamped, stampOfFile } from './stamped.js';

const WORKERS = 4;
const MAX_BYTES = 96 << 10;
const RECORD = 3000;
/** Files that were fsynced and are left alone; more are removed, the oldest first. */
const KEPT = 60;

/** A file that was fsynced, whatever it is called. */
interface Version {
  /** What it holds; undefined: anything, as it came back when its blocks had been given away. */
  readonly number: number | undefined;
  readonly bytes: number;
  /** Another one was put in its place, or it was removed: durably or not. */
  isGone: boolean;
}

/** A file that is replaced over and over: write another one, fsync, rename. */
interface Slot {
  /** What may be there, by what makes a file itself and no other. */
  readonly possible: Map<string, Version>;
  /** One of them is on the disk. */
  isDurable: boolean;
}

export class FileLoad implements Load {
  /** Files by name that were fsynced, and what makes each of them itself. */
  readonly #kept = new Map<string, readonly [identity: string, Version]>();
  readonly #slots = Array.from({ length: WORKERS }, (): Slot => ({ possible: new Map(), isDurable: false }));
  /** Records of each worker's log that were fsynced; each starts a log in each round. */
  readonly #records = Array.from({ length: WORKERS }, () => 0);
  #number = 0;
  #round = 0;
  #done = 0;
  #isSealed = false;

  /**
   * `reusesAtOnce`: blocks of a file that was replaced or removed may be written over before that is durable, so that what it holds when it
   * comes back is anything (ext4 with data=writeback: `ext4_mb_clear_bb` in fs/ext4/mballoc.c). It is that file still, and as long.
   */
  constructor(
    private readonly random: Random,
    private readonly reusesAtOnce: boolean,
  ) {}

  get done(): number {
    return this.#done;
  }

  async start(directory: string, over: () => boolean): Promise<void> {
    this.#round++;
    this.#isSealed = false;
    this.#records.fill(0);
    await mkdir(join(directory, 'noise'), { recursive: true });
    await this.#thinOut(directory);
    // Past the page cache: writes that the disk has, and that nobody asked it to keep.
    const direct = run(tool('dd'), [
      ...['if=/dev/zero', `of=${join(directory, 'noise', 'direct')}`],
      ...['bs=8k', 'count=300', 'oflag=direct', 'conv=notrunc'],
    ]);
    await Promise.all(this.#slots.map((_, worker) => this.#work(directory, worker, over)));
    await direct;
  }

  seal(): void {
    this.#isSealed = true;
  }

  /** What is wrong, in words. The directory is mounted anew. */
  async check(directory: string): Promise<string[]> {
    const wrong: string[] = [];
    for (const [name, [identity, version]] of this.#kept) {
      const path = join(directory, name);
      if (existsSync(path)) wrong.push(...(await this.#flaw(path, new Map([[identity, version]]))));
      else if (version.isGone) this.#kept.delete(name);
      else wrong.push(`${name} was fsynced and is not there`);
    }
    for (const [worker, slot] of this.#slots.entries()) {
      const path = join(directory, `slot.${worker}`);
      const isThere = existsSync(path);
      if (isThere) wrong.push(...(await this.#flaw(path, slot.possible)));
      else if (slot.isDurable) wrong.push(`slot.${worker}, whose file was fsynced, is not there`);
      slot.possible.clear();
      if (isThere) slot.possible.set(...(await found(path)));
      slot.isDurable = isThere;
    }
    for (const [worker, records] of this.#records.entries()) {
      const content = beginningOf(join(directory, `log.${this.#round}.${worker}`), records * RECORD);
      for (let n = 0; n < records; n++) {
        const record = content.subarray(n * RECORD, (n + 1) * RECORD);
        if (!record.equals(stamped(n, RECORD)))
          wrong.push(`log.${worker}: record ${n} of ${records} is lost`);
      }
    }
    return wrong;
  }

  /** What is wrong with a file that is to be one of these. */
  async #flaw(path: string, possible: ReadonlyMap<string, Version>): Promise<string[]> {
    const [identity, { number, bytes }] = await found(path);
    const version = possible.get(identity);
    const told = [...possible]
      .map(([one, v]) => `${one} (${v.number}${v.isGone ? ', gone' : ''})`)
      .join(', ');
    if (version === undefined) return [`${path} is the file ${identity} (${number}), not one of ${told}`];
    if (bytes !== version.bytes)
      return [`${path} was fsynced with ${version.bytes} bytes, and has ${bytes} of ${identity} of ${told}`];
    const mayBeAnything = (this.reusesAtOnce && version.isGone) || version.number === undefined;
    if (mayBeAnything || number === version.number) return [];
    return [`${path} was fsynced and is not whole: ${number ?? 'garbage'} in ${identity} of ${told}`];
  }

  async #work(directory: string, worker: number, over: () => boolean): Promise<void> {
    const log = await open(join(directory, `log.${this.#round}.${worker}`), 'a');
    // Then it asks for nothing to be durable, and more is under way when the power goes.
    let asking = this.random.below(25);
    try {
      while (!over()) {
        await this.random.weighted(asking-- > 0 ? DEEDS : NOISE)(this, directory, worker, log);
        this.#done++;
      }
    } finally {
      await log.close().catch(() => undefined);
    }
  }

  async keep(directory: string): Promise<void> {
    const number = ++this.#number;
    const file = await this.#write(join(directory, `kept.${number}`), number, 'sync');
    if (!this.#isSealed) this.#kept.set(`kept.${number}`, file);
  }

  async replace(directory: string, worker: number): Promise<void> {
    const slot = this.#slots[worker];
    if (slot === undefined) return;
    const number = ++this.#number;
    const path = join(directory, `slot.${worker}`);
    const [identity, version] = await this.#write(`${path}.new`, number, 'sync');
    for (const other of slot.possible.values()) other.isGone = true;
    slot.possible.set(identity, version);
    await rename(`${path}.new`, path);
    if (this.random.chance(0.5)) return;
    const parent = await open(directory);
    try {
      await parent.sync();
    } finally {
      await parent.close();
    }
    if (this.#isSealed) return;
    slot.possible.clear();
    slot.possible.set(identity, version);
    slot.isDurable = true;
  }

  async append(worker: number, log: FileHandle): Promise<void> {
    const record = this.#records[worker] ?? 0;
    await log.write(stamped(record, RECORD));
    await log.datasync();
    if (!this.#isSealed) this.#records[worker] = record + 1;
  }

  /** What nobody has asked to be durable. */
  async noise(directory: string): Promise<void> {
    const path = join(directory, 'noise', String(this.random.below(20)));
    if (this.random.chance(0.6)) await this.#write(path, this.random.below(1000), 'leave');
    else if (this.random.chance(0.3)) await rm(path, { force: true });
    else if (this.random.chance(0.5)) await truncate(path, this.random.below(MAX_BYTES)).catch(missing);
    else await rename(path, join(directory, 'noise', String(this.random.below(20)))).catch(missing);
  }

  async #write(
    path: string,
    number: number,
    how: 'sync' | 'leave',
  ): Promise<readonly [identity: string, Version]> {
    const bytes = 600 + this.random.below(MAX_BYTES);
    const file = await open(path, 'w');
    try {
      await file.write(stamped(number, bytes));
      if (how === 'sync') await file.sync();
      return [identityOf(await file.stat({ bigint: true })), { number, bytes, isGone: false }];
    } finally {
      await file.close();
    }
  }

  /** Room for the next round. */
  async #thinOut(directory: string): Promise<void> {
    for (const [name, [, version]] of [...this.#kept].slice(0, -KEPT)) {
      version.isGone = true;
      await rm(join(directory, name));
    }
    const isLeft = (name: string): boolean =>
      name.startsWith('log.') || name.endsWith('.new') || (name.startsWith('kept.') && !this.#kept.has(name));
    const old = (await readdir(directory)).filter(isLeft);
    for (const name of old) await rm(join(directory, name));
  }
}

type Deed = (load: FileLoad, directory: string, worker: number, log: FileHandle) => Promise<void>;

const DEEDS: readonly (readonly [number, Deed])[] = [
  [3, (load, directory) => load.keep(directory)],
  [3, (load, directory, worker) => load.replace(directory, worker)],
  [4, (load, _directory, worker, log) => load.append(worker, log)],
  [6, (load, directory) => load.noise(directory)],
];

const NOISE = DEEDS.slice(-1);

/** Its inode, and when that was made: an inode's number may come again. */
const identityOf = ({ ino, birthtimeNs }: { ino: bigint; birthtimeNs: bigint }): string =>
  `${ino}@${birthtimeNs}`;

/** A file as it is. */
async function found(path: string): Promise<[identity: string, Version]> {
  const status = await stat(path, { bigint: true });
  const version = { number: stampOfFile(path), bytes: Number(status.size), isGone: false };
  return [identityOf(status), version];
}

/** Another worker was there first. */
const missing = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'ENOENT') throw error;
};
