/** Drives a server with fio and reads its JSON. */
import { run } from '../system/process.js';
import type { FioLoad } from '../workloads.js';

/** Microseconds, from fio's submission of a request to its completion. */
export interface Latency {
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export interface ClientRun {
  /** Seconds that the load ran. */
  readonly seconds: number;
  /** Undefined where the client does not tell. */
  readonly requests: number | undefined;
  readonly bytes: number;
  readonly latency: Latency | undefined;
  /** Microseconds, user and system, of all client processes. */
  readonly clientCpu: number;
  readonly clients: number;
}

export interface FioOptions {
  /** Seconds. */
  readonly runtime: number;
  readonly seed: number;
  readonly direct: boolean;
}

const BLOCK_DEVICE = /^\/dev\/(loop|nbd)\d+$/;

/** The engine for an address: NBD, or io_uring for the ceilings' files and block devices. */
const target = (address: string, direct: boolean): string[] => {
  if (!address.startsWith('/')) return ['--ioengine=nbd', `--uri=${address}`];
  // A block device is measured, not the page cache on top of it.
  const bypass = direct || BLOCK_DEVICE.test(address);
  return ['--ioengine=io_uring', `--filename=${address}`, `--direct=${bypass ? 1 : 0}`];
};

/** What it does, wherever it runs. */
type Load = Omit<FioLoad, 'client'>;

/** fio(1). */
export const fioArguments = (address: string, load: Load, options: FioOptions): string[] => [
  '--name=bench',
  ...target(address, options.direct),
  `--rw=${load.pattern}`,
  ...(load.pattern === 'randrw' ? ['--rwmixread=70'] : []),
  `--bs=${load.blockSize}`,
  `--iodepth=${load.depth}`,
  `--numjobs=${load.connections}`,
  '--group_reporting',
  '--unified_rw_reporting=1',
  '--time_based',
  `--runtime=${options.runtime}`,
  `--randseed=${options.seed}`,
  '--lat_percentiles=1',
  '--clat_percentiles=0',
  '--percentile_list=50:99:99.9',
  '--eta=never',
  '--output-format=json',
];

export const runFio = async (
  address: string,
  load: FioLoad,
  options: FioOptions & { readonly signal: AbortSignal },
): Promise<ClientRun> => {
  const timeout = (options.runtime + 30) * 1000;
  const output = await run('fio', fioArguments(address, load, options), { timeout, signal: options.signal });
  return parseFio(output, load);
};

/** The part of fio's JSON that is read. */
interface FioReport {
  readonly jobs: readonly {
    readonly error: number;
    /** Milliseconds, the sum of all jobs'. */
    readonly job_runtime: number;
    /** Percent of that sum. */
    readonly usr_cpu: number;
    readonly sys_cpu: number;
    readonly mixed: {
      readonly io_bytes: number;
      readonly total_ios: number;
      /** Milliseconds. */
      readonly runtime: number;
      readonly lat_ns: { readonly mean: number; readonly percentile?: Readonly<Record<string, number>> };
    };
  }[];
}

/** Notes of fio and its engines come before the JSON on the same stream. Throws on a job with an error. */
export const parseFio = (output: string, load: Load): ClientRun => {
  const start = output.search(/^\{/m);
  if (start < 0) throw new Error(`fio printed no report: ${output.trim().split('\n').at(-1) ?? ''}`);
  const [job] = (JSON.parse(output.slice(start)) as FioReport).jobs;
  if (job === undefined) throw new Error('fio reported no job');
  if (job.error !== 0) throw new Error(`fio reported error ${job.error}`);
  const { mixed } = job;
  if (mixed.total_ios === 0) throw new Error('fio completed no request');
  const percentile = (name: string): number => (mixed.lat_ns.percentile?.[name] ?? Number.NaN) / 1000;
  return {
    seconds: mixed.runtime / 1000,
    requests: mixed.total_ios,
    bytes: mixed.io_bytes,
    latency: {
      mean: mixed.lat_ns.mean / 1000,
      p50: percentile('50.000000'),
      p99: percentile('99.000000'),
      p999: percentile('99.900000'),
    },
    clientCpu: ((job.usr_cpu + job.sys_cpu) / 100) * job.job_runtime * 1000,
    clients: load.connections,
  };
};
