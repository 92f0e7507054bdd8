/** Whether guests can run here. */
import { skipBecause, skipUnless } from '../helpers/tools.js';
import { kernelImage } from './kernel-image.js';

/** False when QEMU guests can run, else the reason to skip. Fetches the kernel if it has to. */
export async function skipUnlessQemu(...more: string[]): Promise<string | false> {
  const missing = skipUnless('qemu-system-x86_64', 'busybox', 'cpio', 'depmod', ...more);
  if (missing !== false) return missing;
  try {
    await kernelImage();
    return false;
  } catch (error) {
    return skipBecause(`no kernel to boot: ${(error as Error).message}`);
  }
}

/** False when user-mode Linux guests can run, else the reason to skip. */
export const skipUnlessUml = (...more: string[]): string | false =>
  skipUnless('linux.uml', 'busybox', ...more);
