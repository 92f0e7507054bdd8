/** A file system of its own, on a loop device of the kernel. */
import { mkdirSync } from 'node:fs';
import { KernelLoop, skipWithoutKernelLoop } from './kernel-loop.js';
import { runOk } from './process.js';
import { makeSparseFile, TempDir } from './temp.js';
import { skipUnless, tool } from './tools.js';

const BYTES = 512 << 20;

/** False when one can be made and mounted here, else the reason to skip. */
export const skipWithoutMounts = (...kinds: readonly string[]): string | false =>
  skipWithoutKernelLoop() || skipUnless(...kinds.map((kind) => `mkfs.${kind}`), 'mount', 'umount');

/** Mounted until the end of its scope. */
export class MountedDisk implements AsyncDisposable {
  private constructor(
    private readonly files: TempDir,
    private readonly disk: KernelLoop,
  ) {}

  static async make(kind: string): Promise<MountedDisk> {
    const files = new TempDir();
    const image = makeSparseFile(files.file('fs.img'), BYTES);
    await runOk(tool(`mkfs.${kind}`), ['-q', image]);
    const disk = await KernelLoop.attach(image);
    const mounted = new MountedDisk(files, disk);
    mkdirSync(mounted.path);
    await runOk(tool('mount'), [disk.path, mounted.path]);
    return mounted;
  }

  get path(): string {
    return this.files.file('mnt');
  }

  file(...parts: string[]): string {
    return this.files.file('mnt', ...parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await runOk(tool('umount'), ['--lazy', this.path]);
    await this.disk[Symbol.asyncDispose]();
    this.files[Symbol.dispose]();
  }
}
