/** From the samples of all rounds to the figures of the report. Pure. */
import type { Latency } from './clients/fio.js';
import type { Sample } from './measure.js';
import type { Server } from './servers/server.js';
import { median, medianOf, spread, WIDE_SPREAD } from './statistics.js';
import { CPU_WHEN_CLIENT_BOUND, FLOOR, type Target } from './targets.js';
import type { Workload } from './workloads.js';

/** One server's samples of one workload, or why there are none. */
export interface ServerResult {
  readonly server: string;
  readonly role: Server['role'];
  readonly samples: readonly Sample[];
  /** A sentence; the samples may be fewer than the rounds then. */
  readonly failure?: string;
}

export interface WorkloadResult {
  readonly workload: Workload;
  readonly results: readonly ServerResult[];
}

/** Medians over the rounds. Units as in `Sample`, unless stated. */
export interface Summary {
  readonly server: string;
  readonly role: Server['role'];
  readonly rounds: number;
  /** Requests a second. */
  readonly iops: number | undefined;
  /** Bytes a second. */
  readonly throughput: number;
  /** Of the throughput; a share of its median. */
  readonly spread: number;
  readonly wide: boolean;
  readonly latency: Latency | undefined;
  /** Server CPU microseconds a request; a MiB where the client does not count requests. */
  readonly cost: number | undefined;
  /** KiB, the largest of all rounds. */
  readonly peak: number | undefined;
  /** Share of the cores its processes can use that the client used. */
  readonly clientBusy: number;
  /** Share of the machine that client and server used. */
  readonly machineBusy: number;
  /** O_DIRECT toggles a second. */
  readonly toggleRate: number | undefined;
}

/** Above this share the client is what limits a row. */
export const CLIENT_BOUND = 0.9;
/** Above this share there is no CPU left: rates follow from what client and server need together. */
export const MACHINE_BOUND = 0.95;

const MIB = 1024 * 1024;

/** Undefined where nothing was measured. */
export const summarize = (result: ServerResult, cores: number): Summary | undefined => {
  const { server, role, samples } = result;
  if (samples.length === 0) return undefined;
  const rates = samples.map((sample) => sample.bytes / sample.seconds);
  const width = spread(rates);
  const busy = (cpu: (sample: Sample) => number, share: (sample: Sample) => number): number =>
    median(samples.map((sample) => cpu(sample) / (sample.seconds * 1e6 * share(sample))));
  const peaks = samples.map((sample) => sample.peak).filter((peak) => peak !== undefined);
  return {
    server,
    role,
    rounds: samples.length,
    iops: medianOf(samples, ({ requests, seconds }) =>
      requests === undefined ? undefined : requests / seconds,
    ),
    throughput: median(rates),
    spread: width,
    wide: width > WIDE_SPREAD,
    latency: medianLatency(samples),
    cost: medianOf(samples, ({ serverCpu, requests, bytes }) =>
      serverCpu === undefined ? undefined : serverCpu / (requests ?? bytes / MIB),
    ),
    peak: peaks.length === 0 ? undefined : Math.max(...peaks),
    clientBusy: busy(
      (sample) => sample.clientCpu,
      (sample) => Math.min(sample.clients, cores),
    ),
    machineBusy: busy(
      (sample) => sample.clientCpu + (sample.serverCpu ?? 0),
      () => cores,
    ),
    toggleRate: medianOf(samples, ({ toggleRate }) => toggleRate),
  };
};

const medianLatency = (samples: readonly Sample[]): Latency | undefined => {
  const of = (pick: (latency: Latency) => number): number =>
    medianOf(samples, ({ latency }) => (latency === undefined ? undefined : pick(latency))) ?? Number.NaN;
  if (samples.every(({ latency }) => latency === undefined)) return undefined;
  return { mean: of((l) => l.mean), p50: of((l) => l.p50), p99: of((l) => l.p99), p999: of((l) => l.p999) };
};

/** How nbdloop stands against the peers on one workload. */
export interface Comparison {
  /** The peer with the highest throughput. */
  readonly fastest: string;
  /** Its throughput is nbdloop's divided by this. */
  readonly rate: number;
  /** The peer with the least server CPU a request, and nbdloop's share of it. */
  readonly leanest: string | undefined;
  readonly cpu: number | undefined;
}

/** Undefined without nbdloop, or without a peer. */
export const compare = (summaries: readonly Summary[]): Comparison | undefined => {
  const ours = summaries.find(({ role }) => role === 'ours');
  const peers = summaries.filter(({ role }) => role === 'peer');
  const [fastest] = peers.toSorted((a, b) => b.throughput - a.throughput);
  if (ours === undefined || fastest === undefined) return undefined;
  const [leanest] = peers
    .filter(({ cost }) => cost !== undefined)
    .toSorted((a, b) => (a.cost ?? 0) - (b.cost ?? 0));
  return {
    fastest: fastest.server,
    rate: ours.throughput / fastest.throughput,
    leanest: leanest?.server,
    cpu: ours.cost === undefined || leanest?.cost === undefined ? undefined : ours.cost / leanest.cost,
  };
};

/** How nbdloop stands against the floor that serves the file, and that against the peers. */
export interface FloorShare {
  /** nbdloop's throughput, and its server CPU a request, divided by the floor's. */
  readonly rate: number;
  readonly cpu: number | undefined;
  /** The floor's throughput divided by the fastest peer's; undefined without a peer. */
  readonly reach: number | undefined;
}

/** Undefined without nbdloop, or where the floor was not measured. */
export const floorShare = (summaries: readonly Summary[]): FloorShare | undefined => {
  const ours = summaries.find(({ role }) => role === 'ours');
  const floor = summaries.find(({ server }) => server === 'floor-file');
  if (ours === undefined || floor === undefined) return undefined;
  const fastest = Math.max(...summaries.filter(({ role }) => role === 'peer').map((peer) => peer.throughput));
  return {
    rate: ours.throughput / floor.throughput,
    cpu: ours.cost === undefined || floor.cost === undefined ? undefined : ours.cost / floor.cost,
    reach: Number.isFinite(fastest) ? floor.throughput / fastest : undefined,
  };
};

export interface Verdict {
  readonly reached: boolean;
  /** One line: what was asked, what was found, and by which rule. */
  readonly says: string;
}

/**
 * Judges nbdloop's row by its target, and by its share of the floor where that was measured. Where the client is the
 * bound, CPU a request decides in place of the rate: with more clients (`driven`) where that was measured. Where the floor itself
 * is not ahead of the peers by the target, to be ahead of them is enough.
 */
export const judge = (
  target: Target,
  comparison: Comparison,
  ours: Summary,
  { driven, floor }: { readonly driven?: Comparison; readonly floor?: FloorShare } = {},
): Verdict => {
  const bound = ours.clientBusy > CLIENT_BOUND;
  const parts: Verdict[] = [];
  if (target.rate !== undefined) {
    const isBeyond = floor?.reach !== undefined && floor.reach < target.rate;
    const wanted = isBeyond ? Math.min(1, target.rate) : target.rate;
    const reached = comparison.rate >= wanted;
    const why = isBeyond
      ? ` (the floor itself has ${floor.reach?.toFixed(2)} of ${target.rate.toFixed(2)})`
      : '';
    const says = `rate ${comparison.rate.toFixed(2)} of ${wanted.toFixed(2)}${why}`;
    parts.push(bound && !reached ? judgeBound(target, says, comparison, driven) : { reached, says });
  }
  if (target.cpu !== undefined) parts.push(judgeCpu(target.cpu, comparison, ''));
  if (floor !== undefined) parts.push(judgeFloor(floor));
  const reached = parts.every((part) => part.reached);
  return { reached, says: `${reached ? 'reached' : 'SHORT'} (${parts.map(({ says }) => says).join('; ')})` };
};

const judgeFloor = ({ rate, cpu }: FloorShare): Verdict => ({
  reached: rate >= FLOOR.rate || (cpu !== undefined && cpu <= FLOOR.cpu),
  says: `floor: rate ${rate.toFixed(2)} of ${FLOOR.rate.toFixed(2)} or CPU ${cpu?.toFixed(2) ?? 'unknown'} of ${FLOOR.cpu.toFixed(2)}`,
});

const judgeBound = (
  { cpuWhenClientBound: limit = CPU_WHEN_CLIENT_BOUND }: Target,
  says: string,
  comparison: Comparison,
  driven: Comparison | undefined,
): Verdict =>
  driven === undefined
    ? judgeCpu(limit, comparison, `${says}, client-bound: `)
    : judgeCpu(
        limit,
        driven,
        `${says}, client-bound: CPU ${cpuText(comparison)}; with more clients rate ${driven.rate.toFixed(2)}, `,
      );

const judgeCpu = (limit: number, comparison: Comparison, before: string): Verdict => ({
  reached: comparison.cpu !== undefined && comparison.cpu <= limit,
  says: `${before}CPU ${cpuText(comparison)}, at most ${limit.toFixed(2)}`,
});

const cpuText = ({ cpu }: Comparison): string => cpu?.toFixed(2) ?? 'unknown';
