/**
 * Debian packages of any architecture, for guests: fetched by apt and unpacked into a cache, never installed. Needs no
 * root.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { arch, tmpdir, userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { run, runOk } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';

/** As dpkg names them. */
export type DebianArch = 'amd64' | 'arm64';

const ARCHES: Readonly<Record<string, DebianArch>> = { x64: 'amd64', arm64: 'arm64' };

/** Of the machine that the tests run on; throws where guests know none. */
export function hostArch(): DebianArch {
  const name = ARCHES[arch()];
  if (name === undefined) throw new Error(`guests know no machine for the processor ${arch()}`);
  return name;
}

/** One cache a user, so that nobody boots what somebody else put there. */
export function cacheDirectory(): string {
  const path = join(tmpdir(), `nbdloop-test-cache-${userInfo().uid}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}

/** The system's package lists for its own architecture; lists of our own for another, which the system does not know. */
function aptOptions(arch: DebianArch): string[] {
  const settings = ['APT::Sandbox::User=root'];
  if (arch !== hostArch()) {
    const state = join(cacheDirectory(), `apt-${arch}`);
    for (const directory of ['lists', 'cache/archives/partial'])
      mkdirSync(join(state, directory), { recursive: true });
    settings.push(`APT::Architecture=${arch}`, `APT::Architectures=${arch}`);
    settings.push(
      `Dir::State=${state}`,
      'Dir::State::status=/dev/null',
      `Dir::Cache=${join(state, 'cache')}`,
    );
  }
  return settings.flatMap((setting) => ['-o', setting]);
}

/**
 * Fetches the package lists of another architecture; those of the system are the system's. A source that cannot be
 * reached is another one's matter: what is missed is told by name.
 */
export async function refreshForeignLists(arch: DebianArch): Promise<void> {
  if (arch === hostArch()) return;
  await run(tool('apt-get'), [...aptOptions(arch), 'update', '-q'], { timeoutMs: 300_000 });
}

/** The package whose name matches among those that a meta package stands for now. */
export async function concretePackage(meta: string, arch: DebianArch, name: RegExp): Promise<string> {
  const ask = async (): Promise<string | undefined> => {
    const answer = await run(tool('apt-cache'), [...aptOptions(arch), 'depends', '--important', meta]);
    return answer.stdout.match(new RegExp(`Depends:\\s+(${name.source})`))?.[1];
  };
  let found = await ask();
  if (found === undefined) {
    await refreshForeignLists(arch);
    found = await ask();
  }
  if (found === undefined) {
    throw new Error(`apt knows no ${meta} (its package lists may be missing: run apt-get update as root)`);
  }
  return found;
}

/**
 * The tree `name` of the cache: what is there, or else what `fill` puts into it. It appears only when it is whole.
 */
export async function cachedTree(name: string, fill: (tree: string) => Promise<void>): Promise<string> {
  const root = join(cacheDirectory(), name);
  if (existsSync(root)) return root;
  const work = mkdtempSync(join(cacheDirectory(), 'unpack-'));
  try {
    await fill(work);
    renameInto(work, root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return root;
}

/** Fetches the archive of each package and unpacks it into the tree. */
export async function unpackPackages(
  names: readonly string[],
  arch: DebianArch,
  tree: string,
): Promise<void> {
  const work = mkdtempSync(join(cacheDirectory(), 'fetch-'));
  try {
    await downloadInto(work, arch, names);
    for (const archive of readdirSync(work).filter((entry) => entry.endsWith('.deb')))
      await runOk(tool('dpkg-deb'), ['-x', join(work, archive), tree], { timeoutMs: 120_000 });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The same with everything that the packages depend on, of an architecture that is not the system's. */
export async function unpackWithDependencies(
  names: readonly string[],
  arch: DebianArch,
  tree: string,
): Promise<void> {
  await refreshForeignLists(arch);
  const words = ['install', '--yes', '--quiet', '--no-install-recommends', '--download-only', ...names];
  await runOk(tool('apt-get'), [...aptOptions(arch), '-o', 'Debug::NoLocking=1', ...words], {
    timeoutMs: 900_000,
  });
  const archives = join(cacheDirectory(), `apt-${arch}`, 'cache/archives');
  for (const archive of readdirSync(archives).filter((entry) => entry.endsWith('.deb')))
    await runOk(tool('dpkg-deb'), ['-x', join(archives, archive), tree], { timeoutMs: 120_000 });
}

/** A list of another architecture may be missing, or older than the archive: then it is fetched, and asked once more. */
async function downloadInto(directory: string, arch: DebianArch, names: readonly string[]): Promise<void> {
  const options = { cwd: directory, timeoutMs: 300_000 };
  const words = [...aptOptions(arch), 'download', ...names];
  if (arch !== hostArch()) {
    const first = await run(tool('apt-get'), words, options);
    if (first.status === 0) return;
    await refreshForeignLists(arch);
  }
  await runOk(tool('apt-get'), words, options);
}

/** Two runs may race to fill the cache: the first one's tree is as good as ours. */
function renameInto(tree: string, root: string): void {
  try {
    renameSync(tree, root);
  } catch (error) {
    if (!existsSync(root)) throw new Error(`${basename(root)}: ${(error as Error).message}`);
  }
}
