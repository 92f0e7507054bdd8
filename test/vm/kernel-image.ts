/** The stock Debian kernels of the guests: unpacked from their packages into a cache, never installed. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';
import { cachedTree, concretePackage, type DebianArch, hostArch, unpackPackages } from './debian.js';

export interface KernelImage {
  /** `uname -r` of the kernel. */
  readonly release: string;
  /** The bootable image. */
  readonly vmlinuz: string;
  /** Holds `modules.dep` and `kernel/`, whose modules may be compressed. */
  readonly modules: string;
  /** A static one, of the same architecture. */
  readonly busybox: string;
}

/** Debian 12's own kernel, and the newer one of its archive, whose nbd driver is what newer distributions run. */
export const KERNELS = ['6.1', '6.12'] as const;
export type KernelVersion = (typeof KERNELS)[number];

export interface KernelChoice {
  /** That of the test run unless told, see `runKernel`. */
  readonly version?: KernelVersion;
  /** The host's unless told. */
  readonly arch?: DebianArch;
}

/** The packages that depend on the current kernel; the architecture follows. */
const META_PACKAGES: Readonly<Record<KernelVersion, string>> = {
  '6.1': 'linux-image',
  '6.12': 'linux-image-6.12',
};

/** Names the kernel that the whole suite runs on; `npm run test:vm -- --kernel` sets it. */
export const KERNEL_VARIABLE = 'NBDLOOP_TEST_KERNEL';

/** The kernel that this test run is about: 6.1 unless told. */
export function runKernel(): KernelVersion {
  const name = process.env[KERNEL_VARIABLE] ?? KERNELS[0];
  const version = KERNELS.find((known) => known === name);
  if (version === undefined) throw new Error(`no kernel ${name} for guests; there are ${KERNELS.join(', ')}`);
  return version;
}

/** Finds the kernel in the cache or fetches it; rejects with the reason where it can't be had. */
export async function kernelImage(choice: KernelChoice = {}): Promise<KernelImage> {
  const { version = runKernel(), arch = hostArch() } = choice;
  const root = await cachedTree(`linux-${version}-${arch}`, async (tree) => {
    const name = await concretePackage(`${META_PACKAGES[version]}-${arch}`, arch, /linux-image-\S+/);
    await unpackPackages([name, 'busybox-static'], arch, tree);
    await runOk(tool('depmod'), ['-b', tree, releaseIn(tree)], { timeoutMs: 120_000 });
  });
  const release = releaseIn(root);
  return {
    release,
    vmlinuz: join(root, 'boot', `vmlinuz-${release}`),
    modules: join(root, 'lib/modules', release),
    busybox: join(root, 'bin/busybox'),
  };
}

function releaseIn(root: string): string {
  const [release] = readdirSync(join(root, 'lib/modules'));
  if (release === undefined) throw new Error(`no kernel modules in ${root}`);
  return release;
}
