import { setTimeout as sleep } from 'node:timers/promises';
import { nbdloop } from '../servers/nbdloop.js';
import { median } from '../statistics.js';
import { treePeak, treeResident } from '../system/proc.js';
import { run } from '../system/process.js';
import { MEMORY_LIMIT } from '../targets.js';
import type { Check } from './check.js';

const CONNECTIONS = 4;
const INTERVAL_MS = 1000;
/** Growth of the last quarter over the second that noise explains. */
const GROWTH_LIMIT = 1.05;

/** Reads and writes of all sizes that have a path of their own. */
const load = (uri: string, seconds: number): string[] => [
  ...[
    '--name=memory',
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--rw=randrw',
    '--bssplit=4k/60:64k/20:128k/10:1m/10',
  ],
  ...[
    '--iodepth=16',
    `--numjobs=${CONNECTIONS}`,
    '--group_reporting',
    '--time_based',
    `--runtime=${seconds}`,
  ],
];

export const checkMemory: Check = async ({ site, minutes, signal, progress }) => {
  const server = await nbdloop.start(site);
  const pid = server.pid ?? 0;
  try {
    const seconds = Math.ceil(minutes * 60);
    const over = new AbortController();
    const client = run('fio', load(server.address, seconds), { timeout: (seconds + 60) * 1000, signal });
    const watched = client.catch(() => undefined).finally(() => over.abort());
    const sizes: number[] = [];
    while (!over.signal.aborted) {
      await sleep(INTERVAL_MS, undefined, { signal: over.signal }).catch(() => undefined);
      if (over.signal.aborted) break;
      sizes.push(megabytes(treeResident(pid)));
      progress(`${sizes.length}/${seconds} s, ${sizes.at(-1)?.toFixed(0)} MB`);
    }
    await watched;
    await client;
    return judgeSizes(sizes, megabytes(treePeak(pid)), minutes);
  } finally {
    await server.stop();
  }
};

/** Of 10^6 bytes. */
const megabytes = (kib: number): number => (kib * 1024) / 1e6;

/** `sizes` are MB at equal intervals. */
export const judgeSizes = (sizes: readonly number[], peak: number, minutes: number) => {
  const quarter = Math.floor(sizes.length / 4);
  const early = median(sizes.slice(quarter, 2 * quarter));
  const late = median(sizes.slice(-quarter));
  const reached = peak <= MEMORY_LIMIT && late <= early * GROWTH_LIMIT;
  const says =
    `${CONNECTIONS} connections under load for ${minutes} min: peak ${peak.toFixed(0)} MB, at most ${MEMORY_LIMIT}; ` +
    `second quarter ${early.toFixed(1)} MB, last ${late.toFixed(1)} MB`;
  return { name: 'memory', reached, says };
};
