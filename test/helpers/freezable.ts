import { mkdirSync } from 'node:fs';
import { KernelLoop } from './kernel-loop.js';
import { run, runOk } from './process.js';
import { makeRandomFile, makeSparseFile, TempDir } from './temp.js';
import { tool } from './tools.js';

const MIB = 1 << 20;

/** An ext4 with one file of random data, on a loop device of the kernel, that can be frozen: what writes to it then waits, unkillable. */
export class Freezable implements AsyncDisposable {
  private constructor(
    private readonly directory: TempDir,
    private readonly disk: KernelLoop,
    private readonly mountPoint: string,
    readonly file: string,
  ) {}

  /** `size`: bytes of the file. */
  static async make(size = 16 * MIB): Promise<Freezable> {
    const directory = new TempDir();
    const image = makeSparseFile(directory.file('ext4.img'), 128 * MIB);
    await runOk(tool('mkfs.ext4'), ['-q', '-F', image]);
    const disk = await KernelLoop.attach(image);
    const mountPoint = directory.file('mnt');
    mkdirSync(mountPoint);
    await runOk(tool('mount'), [disk.path, mountPoint]);
    const file = makeRandomFile(`${mountPoint}/a.img`, size);
    await runOk(tool('sync'), ['-f', file]);
    return new Freezable(directory, disk, mountPoint, file);
  }

  async hang(): Promise<void> {
    await runOk(tool('fsfreeze'), ['-f', this.mountPoint]);
  }

  async goOn(): Promise<void> {
    await runOk(tool('fsfreeze'), ['-u', this.mountPoint]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run(tool('fsfreeze'), ['-u', this.mountPoint]);
    await runOk(tool('umount'), ['--lazy', this.mountPoint]);
    await this.disk[Symbol.asyncDispose]();
    this.directory[Symbol.dispose]();
  }
}
