/** What every command of the bench works with: directories of its own, a progress line, a way to be interrupted. */
import { mkdtemp, rm } from 'node:fs/promises';
import { type Images, makeImages } from './images.js';
import type { Options } from './options.js';
import type { Workload } from './workloads.js';

const GIB = 1024 ** 3;

export interface Workspace {
  readonly options: Options;
  /** On tmpfs. */
  readonly memoryDirectory: string;
  /** On a real disk. */
  readonly diskDirectory: string;
  readonly signal: AbortSignal;
}

/** One line that the next one replaces; nothing where nobody watches. */
export const progress = (says: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${says}`);
};

/** Works in directories of the run's own, which are removed whatever happens. */
export const inWorkspace = async <T>(
  options: Options,
  signal: AbortSignal,
  work: (workspace: Workspace) => Promise<T>,
): Promise<T> => {
  const memoryDirectory = await mkdtemp(`${options.memoryDirectory}/nbdloop-bench.`);
  const diskDirectory = await mkdtemp(`${options.diskDirectory}/nbdloop-bench.`);
  try {
    return await work({ options, memoryDirectory, diskDirectory, signal });
  } finally {
    progress('');
    await rm(memoryDirectory, { recursive: true, force: true });
    await rm(diskDirectory, { recursive: true, force: true });
  }
};

/** Bytes of the two images. */
export const imageSizes = ({ quick }: Options) =>
  quick ? { memorySize: GIB / 4, diskSize: GIB } : { memorySize: GIB, diskSize: 4 * GIB };

/** Makes what the workloads need, and nothing else. */
export const imagesFor = (workspace: Workspace, workloads: readonly Workload[]): Promise<Images> =>
  makeImages({
    ...workspace,
    ...imageSizes(workspace.options),
    media: new Set(workloads.filter(({ load }) => load.client !== 'guest').map(({ setup }) => setup.medium)),
    copies: workloads.some(({ load }) => load.client === 'nbdcopy'),
    tls: workloads.some(({ setup }) => setup.tls),
    progress,
  });
