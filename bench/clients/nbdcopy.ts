/** Copies a whole image with nbdcopy, with its own defaults of block size, depth and connections. */
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

export const runCopy = async (
  address: string,
  load: CopyLoad,
  files: CopyFiles,
  signal: AbortSignal,
): Promise<ClientRun> => {
  const args = {
    out: [address, files.destination],
    drain: [address, 'null:'],
    in: [files.source, address],
  }[load.direction];
  const { size } = await stat(files.image);
  const cpuBefore = reapedCpu();
  const begin = performance.now();
  await run('nbdcopy', args, { timeout: 120_000, signal });
  return {
    seconds: (performance.now() - begin) / 1000,
    requests: undefined,
    bytes: size,
    latency: undefined,
    clientCpu: reapedCpu() - cpuBefore,
    // Its default is as many threads as there are cores.
    clients: availableParallelism(),
  };
};
