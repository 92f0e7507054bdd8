/** Copies whole images with nbdcopy, with its own defaults of block size, depth and connections. */
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { reapedCpu } from '../system/proc.js';
import { run } from '../system/process.js';
import type { CopyLoad } from '../workloads.js';
import type { ClientRun } from './fio.js';

export interface CopyFiles {
  readonly image: string;
  /** What `in` copies from: as large as the image. */
  readonly source: string;
  /** What `out` copies to. */
  readonly destination: string;
}

export interface CopyOptions {
  readonly files: CopyFiles;
  /** Seconds: copies follow one another until so many have passed. */
  readonly runtime: number;
  readonly signal: AbortSignal;
}

export const runCopy = async (
  address: string,
  load: CopyLoad,
  { files, runtime, signal }: CopyOptions,
): Promise<ClientRun> => {
  const args = {
    out: [address, files.destination],
    drain: [address, 'null:'],
    in: [files.source, address],
  }[load.direction];
  const { size } = await stat(files.image);
  const cpuBefore = reapedCpu();
  const begin = performance.now();
  let seconds = 0;
  let bytes = 0;
  do {
    await run('nbdcopy', args, { timeout: 120_000, signal });
    bytes += size;
    seconds = (performance.now() - begin) / 1000;
  } while (seconds < runtime);
  return {
    seconds,
    requests: undefined,
    bytes,
    latency: undefined,
    clientCpu: reapedCpu() - cpuBefore,
    // Its default is as many threads as there are cores.
    clients: availableParallelism(),
  };
};
