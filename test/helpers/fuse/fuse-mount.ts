/** A FUSE file system of our own, with faults that are set while it is mounted (passthrough.c). Root mounts it. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { describeFailure, type RunningProcess, run, runOk, start } from '../process.js';
import { TempDir } from '../temp.js';
import { skipBecause, skipUnless, tool } from '../tools.js';
import { until } from '../until.js';

/** From the project's root, where tests run. */
const SOURCE = join('test', 'helpers', 'fuse', 'passthrough.c');
/** What `compileFuse` makes: it takes the directory below, the mount point, and a file of faults. */
export const FUSE_PROGRAM = resolve('dist', 'test', 'helpers', 'fuse', 'passthrough');

export type FuseOperation =
  | 'getattr'
  | 'open'
  | 'read'
  | 'write'
  | 'fsync'
  | 'fallocate'
  | 'lseek'
  | 'lock'
  | 'truncate'
  | 'unlink'
  | 'rename'
  | 'fsyncdir';

/** What holds from the next request on; what is left out is as it should be. */
export interface FuseFaults {
  /** Milliseconds that each request of a kind takes. */
  readonly delay?: Partial<Record<FuseOperation, number>>;
  /** Errno (a positive number) with which each request of a kind fails. */
  readonly fail?: Partial<Record<FuseOperation, number>>;
  /** How SEEK_DATA lies: there is never data; it begins 1 MiB later; there is none behind the first 64 KiB. */
  readonly seek?: 'enxio' | 'late' | 'trunc';
  /** What is opened is of this epoch; 0 unless told. */
  readonly epoch?: number;
  /** What was opened in an epoch before this one can be neither read nor written: EBADFD. */
  readonly lost?: number;
  /** Added to every inode number, modulo 2^64. */
  readonly inode?: bigint;
  /** By this a cut of the power decides which pages are lost, not 0. */
  readonly cut?: number;
  /** What is synced is lost at a cut all the same. */
  readonly lie?: boolean;
  /** From so many changes and syncs on, from when this is set, they fail with EIO and change nothing: the power has gone. */
  readonly die?: number;
}

export interface FuseOptions {
  /** The kernel may keep written data back (virtiofsd --writeback, passthrough_ll -o writeback). */
  readonly writeback?: boolean;
  /** The server is asked for record locks; else the kernel keeps them itself. */
  readonly locks?: boolean;
  /** What was not synced is lost at `cutPower`, page by page or not. Files lie in the topmost directory. */
  readonly volatile?: boolean;
  /** The table of mounts says `fuse.` and this. */
  readonly type?: string;
  readonly faults?: FuseFaults;
}

/** False when such a file system can be mounted here, else the reason to skip. */
export function skipWithoutFuse(): string | false {
  const missing = skipUnless('gcc', 'umount');
  if (missing !== false) return missing;
  if (!existsSync('/usr/include/fuse3/fuse.h')) return skipBecause('libfuse3-dev is not installed');
  if (!existsSync('/dev/fuse')) return skipBecause('there is no /dev/fuse');
  return process.getuid?.() === 0 ? false : skipBecause('only root can mount a file system');
}

/** Mounted until the end of its scope, whatever state its server is in then. */
export class FuseMount implements AsyncDisposable {
  server: RunningProcess;
  #faults: FuseFaults;

  private constructor(
    private readonly directory: TempDir,
    private readonly args: readonly string[],
    faults: FuseFaults,
  ) {
    this.#faults = faults;
    writeFaults(directory, faults);
    this.server = start(FUSE_PROGRAM, args);
  }

  static async mount(options: FuseOptions = {}): Promise<FuseMount> {
    await compileFuse();
    const directory = new TempDir();
    for (const name of ['root', 'mnt']) mkdirSync(directory.file(name));
    const args = [directory.file('root'), directory.file('mnt'), directory.file('faults')];
    if (options.writeback === true) args.push('writeback');
    if (options.locks === true) args.push('locks');
    if (options.volatile === true) args.push('volatile');
    if (options.type !== undefined) args.push(options.type);
    const mount = new FuseMount(directory, args, options.faults ?? {});
    try {
      await mount.#ready();
      return mount;
    } catch (error) {
      await mount[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A path on the FUSE file system. */
  file(...parts: string[]): string {
    return this.directory.file('mnt', ...parts);
  }

  /** The same file below it. */
  real(...parts: string[]): string {
    return this.directory.file('root', ...parts);
  }

  /** In place of the faults there were. Holds for every request that is begun after this returns. */
  set(faults: FuseFaults): void {
    this.#faults = faults;
    writeFaults(this.directory, faults);
  }

  /** The server hangs: whoever asks it waits, in the kernel, until `goOn` or the end of its scope. */
  hang(): void {
    this.server.signal('SIGSTOP');
    // A thread that was under way goes on to its end: nothing is answered any more once every one has stopped.
    const tasks = `/proc/${this.server.pid}/task`;
    const isStopped = (task: string): boolean =>
      / T /.test(readFileSync(join(tasks, task, 'stat'), 'latin1'));
    while (!readdirSync(tasks).every(isStopped));
  }

  goOn(): void {
    this.server.signal('SIGCONT');
  }

  /** Of a `volatile` one that nobody uses: it is mounted anew, and what was not synced is there or not, by the seed. */
  async cutPower(seed: number): Promise<void> {
    writeFaults(this.directory, { ...this.#faults, cut: seed });
    this.server.signal('SIGTERM');
    await this.server.ended;
    await run(tool('umount'), ['--lazy', this.directory.file('mnt')]);
    writeFaults(this.directory, this.#faults);
    this.server = start(FUSE_PROGRAM, this.args);
    await this.#ready();
  }

  /** The same without a new mount, for who has nothing of it open; then all is as it should be. */
  cutInPlace(seed: number): void {
    this.set({ cut: seed });
    writeFileSync(this.real('CUT_NOW'), '');
    rmSync(this.file('CUT_NOW'));
    this.set({});
  }

  async #ready(): Promise<void> {
    const below = statSync(this.directory.path).dev;
    await until('the file system is mounted', async () => {
      if (this.server.isOver)
        throw new Error(describeFailure(FUSE_PROGRAM, this.args, await this.server.ended));
      return statSync(this.directory.file('mnt')).dev === below ? undefined : true;
    });
  }

  /** The server goes first: what waits for it ends with ENOTCONN, and so the mount lets go. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.server.signal('SIGKILL');
    await this.server.ended;
    await run(tool('umount'), ['--lazy', this.directory.file('mnt')]);
    this.directory[Symbol.dispose]();
  }
}

function writeFaults(directory: TempDir, faults: FuseFaults): void {
  const { delay = {}, fail = {}, seek, epoch, lost, inode, cut, lie = false, die } = faults;
  const words = [
    ...Object.entries(delay).map(([operation, milliseconds]) => `${operation}=${milliseconds}`),
    ...Object.entries(fail).map(([operation, errno]) => `${operation}!${errno}`),
    ...(seek === undefined ? [] : [`seek=${seek}`]),
    ...(epoch === undefined ? [] : [`epoch=${epoch}`]),
    ...(lost === undefined ? [] : [`lost=${lost}`]),
    ...(inode === undefined ? [] : [`inode=${inode}`]),
    ...(cut === undefined ? [] : [`cut=${cut}`]),
    ...(lie ? ['lie=1'] : []),
    ...(die === undefined ? [] : [`die=${die}`]),
  ];
  writeFileSync(directory.file('faults.new'), `${words.join(' ')}\n`);
  renameSync(directory.file('faults.new'), directory.file('faults'));
}

/** Once, and again when the source is newer. Several test files may do it at the same time. */
export async function compileFuse(): Promise<void> {
  if (existsSync(FUSE_PROGRAM) && statSync(FUSE_PROGRAM).mtimeMs > statSync(SOURCE).mtimeMs) return;
  const mine = `${FUSE_PROGRAM}.${process.pid}`;
  const flags = ['-O2', '-Wall', '-D_FILE_OFFSET_BITS=64', '-I/usr/include/fuse3'];
  try {
    await runOk(tool('gcc'), [...flags, '-o', mine, SOURCE, '-lfuse3']);
    renameSync(mine, FUSE_PROGRAM);
  } finally {
    rmSync(mine, { force: true });
  }
}
