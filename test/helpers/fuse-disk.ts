/** An export of NBD as a block device of this kernel, where there is no nbd driver: a loop device over libnbd's nbdfuse. */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { KernelLoop, skipWithoutKernelLoop } from './kernel-loop.js';
import { describeFailure, type RunningProcess, run, start } from './process.js';
import { TempDir } from './temp.js';
import { skipBecause, skipUnless, tool } from './tools.js';
import { until } from './until.js';

export function skipWithoutFuseDisk(): string | false {
  const missing = skipWithoutKernelLoop() || skipUnless('nbdfuse', 'mount', 'umount');
  if (missing !== false) return missing;
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return skipBecause('/dev/fuse cannot be used here');
  }
}

export class FuseDisk implements AsyncDisposable {
  private constructor(
    private readonly dir: TempDir,
    private readonly fuse: RunningProcess,
    private readonly loop: KernelLoop,
  ) {}

  static async of(uri: string): Promise<FuseDisk> {
    const dir = new TempDir();
    mkdirSync(dir.file('mnt'));
    const fuse = start(tool('nbdfuse'), [dir.file('mnt'), uri]);
    await until(`nbdfuse serves ${uri}`, async () => {
      if (fuse.isOver) throw new Error(describeFailure('nbdfuse', [uri], await fuse.ended));
      return existsSync(dir.file('mnt/nbd')) || undefined;
    });
    const loop = await KernelLoop.attach(dir.file('mnt/nbd'));
    return new FuseDisk(dir, fuse, loop);
  }

  /** Path of the block device. */
  get node(): string {
    return this.loop.path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.loop[Symbol.asyncDispose]();
    await run(tool('umount'), ['--lazy', this.dir.file('mnt')]);
    await this.fuse[Symbol.asyncDispose]();
    this.dir[Symbol.dispose]();
  }
}
