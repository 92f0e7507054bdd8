/** The stock Debian kernel for QEMU guests: unpacked from its package into a cache, never installed. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { arch, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { run, runOk } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';

export interface KernelImage {
  /** `uname -r` of the kernel. */
  readonly release: string;
  /** The bootable image. */
  readonly vmlinuz: string;
  /** Holds `modules.dep` and `kernel/`. */
  readonly modules: string;
}

/** Depends on the current kernel package of the distribution. */
const META_PACKAGE = 'linux-image-amd64';

/** One cache a user, so that nobody boots what somebody else put there. */
export const cacheDirectory = (): string => {
  const path = join(tmpdir(), `nbdloop-test-cache-${userInfo().uid}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
};

/** Finds the kernel in the cache or fetches it; rejects with the reason where it can't be had. */
export async function kernelImage(): Promise<KernelImage> {
  if (arch() !== 'x64') throw new Error(`the VM tests know no kernel for ${arch()}`);
  const root = join(cacheDirectory(), 'kernel');
  if (!existsSync(root)) await unpackKernel(root);
  const release = readdirSync(join(root, 'lib/modules'))[0];
  if (release === undefined) throw new Error(`no kernel modules in ${root}`);
  return {
    release,
    vmlinuz: join(root, 'boot', `vmlinuz-${release}`),
    modules: join(root, 'lib/modules', release),
  };
}

/** Fetches the package's archive and unpacks it; `root` appears only when it is whole. */
async function unpackKernel(root: string): Promise<void> {
  const work = mkdtempSync(join(cacheDirectory(), 'unpack-'));
  try {
    const name = await concretePackage();
    await runOk(tool('apt-get'), ['-o', 'APT::Sandbox::User=root', 'download', name], {
      cwd: work,
      timeoutMs: 300_000,
    });
    const archive = readdirSync(work).find((entry) => entry.endsWith('.deb'));
    if (archive === undefined) throw new Error(`apt-get download left no archive of ${name}`);
    const tree = join(work, 'tree');
    await runOk(tool('dpkg-deb'), ['-x', join(work, archive), tree], { timeoutMs: 120_000 });
    const [release] = readdirSync(join(tree, 'lib/modules'));
    if (release === undefined) throw new Error(`${name} holds no modules`);
    await runOk(tool('depmod'), ['-b', tree, release], { timeoutMs: 120_000 });
    renameInto(tree, root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Two runs may race to fill the cache: the first one's tree is as good as ours. */
function renameInto(tree: string, root: string): void {
  try {
    renameSync(tree, root);
  } catch (error) {
    if (!existsSync(root)) throw error;
  }
}

/** The kernel package that the distribution's meta package stands for now. */
async function concretePackage(): Promise<string> {
  const answer = await run(tool('apt-cache'), ['depends', '--important', META_PACKAGE]);
  const match = answer.stdout.match(/Depends:\s+(linux-image-\S+)/);
  if (match?.[1] === undefined) {
    throw new Error(
      `apt knows no ${META_PACKAGE} (its package lists may be missing: run apt-get update as root)`,
    );
  }
  return match[1];
}
