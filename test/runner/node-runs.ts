/**
 * What runs on every Node that `engines` names. The files of dist/ are the same, so what is tested is Node: its sockets,
 * TLS, threads, files, processes and HTTP, and koffi on it.
 */
import { type NodeRelease, nodeRelease, OTHER_MAJORS, ownNodeArch } from './node-releases.js';

/**
 * Unit tests of what is computed in memory, or of sources and texts: another Node runs them as well as this one. They
 * are a third of the time of all.
 */
const LANGUAGE_ALONE =
  /^dist\/test\/unit\/(bench|docs|fuzz|locks|pace|packaging|session|wire)\/|\/unit\/cli\/(?!nbdlosetup)|\/unit\/[^/]*(imports|system-calls|tap-report|tools)\./;

export interface NodeRun {
  readonly file: string;
  readonly node: NodeRelease;
}

/** Serves, verifies with fio, speaks TLS to three clients, ends, crashes and starts again. */
const INTEROP = ['lifecycle', 'fio', 'tls'].map((name) => `dist/test/interop/${name}.test.js`);

/** The part of the unit suite that a Node can fail. */
export const standsOnNode = (file: string): boolean => !LANGUAGE_ALONE.test(file);

/** Begins to fetch the releases, while other tests run. */
export function prefetchNodes(): void {
  for (const release of releases()) release.catch(() => {}); // told by who needs it
}

/** Every selected file on each of the other releases; `say` is told of a release that cannot be had. */
export async function runsOnOtherNodes(
  unitFiles: readonly string[],
  say: (line: string) => void,
): Promise<NodeRun[]> {
  const files = [...INTEROP, ...unitFiles.filter(standsOnNode)];
  const runs: NodeRun[] = [];
  for (const asked of await Promise.allSettled(releases())) {
    if (asked.status === 'fulfilled') runs.push(...files.map((file) => ({ file, node: asked.value })));
    else say(`not run: ${(asked.reason as Error).message}`);
  }
  return runs;
}

const releases = (): Promise<NodeRelease>[] => OTHER_MAJORS.map((major) => nodeRelease(major, ownNodeArch()));
