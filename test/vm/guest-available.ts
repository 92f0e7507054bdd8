/** Whether guests can run here, and if not, what is missing. */
import { skipBecause, skipUnless } from '../helpers/tools.js';
import { hostArch } from './debian.js';
import { type KernelChoice, kernelImage } from './kernel-image.js';
import { GUEST_MACHINES } from './machines.js';

/** What it takes to boot one, QEMU aside; its kernel and busybox come as packages that apt fetches. */
const BOOT = ['cpio', 'xz', 'depmod', 'apt-get', 'apt-cache', 'dpkg-deb'];

/**
 * False when a guest of that kernel can run here, with the programs of the host that its script calls; else the reason
 * to skip, which names what is missing (an error under NBDLOOP_REQUIRE_ALL=1). Fetches the kernel if it has to.
 */
export async function skipUnlessGuest(choice: KernelChoice, ...programs: string[]): Promise<string | false> {
  const missing = skipUnless(...BOOT, 'bash', ...programs);
  if (missing !== false) return missing;
  try {
    const noMachine = skipUnless(GUEST_MACHINES[choice.arch ?? hostArch()].program);
    if (noMachine !== false) return noMachine;
    await kernelImage(choice);
    return false;
  } catch (error) {
    return skipBecause(`no guest can run: ${(error as Error).message}`);
  }
}

/** The same for a guest of the kernel that the test run is about. */
export const skipUnlessQemu = (...programs: string[]): Promise<string | false> =>
  skipUnlessGuest({}, ...programs);
