/** One run of one load against one server. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClientRun, runFio } from './clients/fio.js';
import { type CopyFiles, runCopy } from './clients/nbdcopy.js';
import type { RunningServer } from './servers/server.js';
import { resetPeak, treeCpu, treePeak } from './system/proc.js';
import { run } from './system/process.js';
import type { Workload } from './workloads.js';

export interface Sample extends ClientRun {
  /** Microseconds, user and system, of the server, its threads and children. Undefined for the ceilings. */
  readonly serverCpu: number | undefined;
  /** KiB: the most that was resident during the run. */
  readonly peak: number | undefined;
  /** O_DIRECT was turned on or off this often a second. */
  readonly toggleRate: number | undefined;
}

export interface MeasureOptions {
  readonly files: CopyFiles;
  /** Seconds. */
  readonly runtime: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Between two looks at the server's memory; its children may be gone after the run. */
const MEMORY_INTERVAL_MS = 500;

/**
 * The CPU window spans the client's whole life: the client counts all of its requests, so nothing has to be
 * cut to fit, and a connection's set-up is a millisecond of seconds.
 */
export const measure = async (
  server: RunningServer,
  workload: Workload,
  options: MeasureOptions,
): Promise<Sample> => {
  if (workload.cold) await dropCache(options.files.image, options.signal);
  const { pid } = server;
  const stop = new AbortController();
  if (pid !== undefined) resetPeak(pid);
  const cpuBefore = pid === undefined ? 0 : treeCpu(pid);
  const watching = pid === undefined ? undefined : watchPeak(pid, stop.signal);
  const toggling =
    workload.togglesPerSecond === undefined ? undefined : toggle(server, workload, stop.signal);
  try {
    const client = await runClient(server, workload, options);
    const serverCpu = pid === undefined ? undefined : treeCpu(pid) - cpuBefore;
    stop.abort();
    return { ...client, serverCpu, peak: await watching, toggleRate: await toggling };
  } finally {
    stop.abort();
    await Promise.allSettled([watching, toggling]);
  }
};

const runClient = (
  server: RunningServer,
  workload: Workload,
  options: MeasureOptions,
): Promise<ClientRun> => {
  const { load, setup } = workload;
  if (load.client === 'guest') throw new Error('this load runs in a virtual machine');
  return load.client === 'nbdcopy'
    ? runCopy(server.address, load, options)
    : runFio(server.address, load, { ...options, direct: setup.direct });
};

/** Until aborted. */
const watchPeak = async (pid: number, signal: AbortSignal): Promise<number> => {
  let peak = 0;
  while (!signal.aborted) {
    await pause(MEMORY_INTERVAL_MS, signal);
    peak = Math.max(peak, treePeak(pid));
  }
  return peak;
};

/** Turns O_DIRECT on and off until aborted, and leaves it off. How often a second it did. */
const toggle = async (server: RunningServer, workload: Workload, signal: AbortSignal): Promise<number> => {
  if (server.toggleDirect === undefined) throw new Error('this server cannot turn O_DIRECT on and off');
  const interval = 1000 / (workload.togglesPerSecond ?? 1);
  const begin = performance.now();
  let done = 0;
  let next = begin;
  while (!signal.aborted) {
    done += 1;
    await server.toggleDirect(done % 2 === 1);
    next += interval;
    await pause(Math.max(next - performance.now(), 0), signal);
  }
  const seconds = (performance.now() - begin) / 1000;
  await server.toggleDirect(false);
  return done / seconds;
};

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  sleep(milliseconds, undefined, { signal }).catch(() => undefined);

/** Takes the file out of the page cache (posix_fadvise DONTNEED, which needs no privilege), and looks. */
export const dropCache = async (file: string, signal: AbortSignal): Promise<void> => {
  const options = { timeout: 120_000, signal };
  await run(
    'dd',
    [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'],
    options,
  );
  const resident = await run('fincore', ['--bytes', '--noheadings', '--output', 'RES', file], options);
  if (Number(resident) > 1 << 20)
    throw new Error(`${resident.trim()} bytes of ${file} stay in the page cache`);
};
