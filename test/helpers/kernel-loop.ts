/** The host kernel's own loop devices, through the real losetup: the oracle for how ours look. */
import { accessSync, constants } from 'node:fs';
import { type Ended, run, runOk } from './process.js';
import { skipBecause, skipUnless, tool } from './tools.js';

/** False when loop devices of the kernel can be made here, else the reason to skip. */
export function skipWithoutKernelLoop(): string | false {
  const missing = skipUnless('losetup');
  if (missing !== false) return missing;
  try {
    accessSync('/dev/loop-control', constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return skipBecause('/dev/loop-control cannot be used here');
  }
}

/** Runs the real losetup in the locale that shows file names as they are. */
export const losetup = (...args: readonly string[]): Promise<Ended> =>
  run(tool('losetup'), args, { env: { LC_ALL: 'C.UTF-8' } });

/** A device of the kernel, detached at the end of its scope. */
export class KernelLoop implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async attach(...args: readonly string[]): Promise<KernelLoop> {
    const path = await runOk(tool('losetup'), ['-f', '--show', ...args]);
    return new KernelLoop(path.trim());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await losetup('-d', this.path);
  }
}
