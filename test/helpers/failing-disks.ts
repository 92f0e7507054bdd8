/** Disks that really fail: what the host's kernel answers is what the server is told. Root makes them. */
import { mkdirSync, truncateSync } from 'node:fs';
import { KernelLoop, skipWithoutKernelLoop } from './kernel-loop.js';
import { runOk } from './process.js';
import { makeRandomFile, makeSparseFile, TempDir } from './temp.js';
import { skipBecause, skipUnless, tool } from './tools.js';

/** Temporary files that are on a disk, which takes direct I/O, and not in memory. */
const DISK = '/var/tmp';

/** False when such disks can be made here, else the reason to skip. */
export function skipWithoutFailingDisks(): string | false {
  const missing = skipWithoutKernelLoop() || skipUnless('mount', 'umount', 'blockdev');
  if (missing !== false) return missing;
  return process.getuid?.() === 0 ? false : skipBecause('only root can mount a file system');
}

/**
 * A disk whose second half cannot be read: a loop device of the kernel over a file that lost it. With direct I/O that
 * driver ends a read that brings nothing with EIO (loop.c, `lo_complete_rq`).
 */
export class HalfDisk implements AsyncDisposable {
  private constructor(
    private readonly loop: KernelLoop,
    /** What is left of it. */
    readonly file: string,
    private readonly directory: TempDir,
  ) {}

  /** `size`: bytes, the lost half included. */
  static async make(size: number): Promise<HalfDisk> {
    const directory = new TempDir(DISK);
    const file = makeRandomFile(directory.file('half.img'), size);
    const loop = await KernelLoop.attach('--direct-io=on', file);
    truncateSync(file, size / 2);
    await forgetRead(loop);
    return new HalfDisk(loop, file, directory);
  }

  get path(): string {
    return this.loop.path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.loop[Symbol.asyncDispose]();
    this.directory[Symbol.dispose]();
  }
}

/** udev looks at the end of every new disk: what it saw before that was lost is not to be had from the page cache. */
async function forgetRead(loop: KernelLoop): Promise<void> {
  await runOk(tool('blockdev'), ['--flushbufs', loop.path]);
}

/** A file system with room for so many bytes, and a sparse file of many more. */
export class FullDisk implements AsyncDisposable {
  private constructor(
    readonly file: string,
    private readonly mountPoint: string,
    private readonly directory: TempDir,
  ) {}

  static async make(room: number, size: number): Promise<FullDisk> {
    const directory = new TempDir();
    const mountPoint = directory.file('full');
    mkdirSync(mountPoint);
    await runOk(tool('mount'), ['-t', 'tmpfs', '-o', `size=${room}`, 'none', mountPoint]);
    const file = makeSparseFile(`${mountPoint}/sparse.img`, size);
    return new FullDisk(file, mountPoint, directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Lazily: whoever looks at a loop device over its file may hold it a little longer.
    await runOk(tool('umount'), ['--lazy', this.mountPoint]);
    this.directory[Symbol.dispose]();
  }
}
