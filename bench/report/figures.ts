/** A report's data, and how its figures are written: the same in the terminal, in Markdown and in HTML. */
import type { Conditions } from '../conditions.js';
import {
  CLIENT_BOUND,
  type Comparison,
  compare,
  type FloorShare,
  floorShare,
  judge,
  MACHINE_BOUND,
  type ServerResult,
  type Summary,
  summarize,
  type Verdict,
  type WorkloadResult,
} from '../results.js';
import { TARGETS } from '../targets.js';
import { circumstances, type Workload, withMoreClients } from '../workloads.js';

/** What `--json` writes and `--from` reads. */
export interface Report {
  readonly conditions: Conditions;
  readonly results: readonly WorkloadResult[];
}

/** One workload, ready to print. */
export interface Section {
  readonly workload: Workload;
  /** Title and circumstances. */
  readonly heading: string;
  readonly summaries: readonly Summary[];
  readonly columns: readonly string[];
  /** Cells of `columns`, one row a server. */
  readonly rows: readonly (readonly string[])[];
  /** Sentences: what failed, what limits the row, the comparison, the verdict. */
  readonly remarks: readonly string[];
  readonly verdict: Verdict | undefined;
}

/** All sections of a report; a row with more clients counts for the one that it follows. */
export const sectionsOf = ({ conditions, results }: Report): Section[] =>
  results.map((result) => {
    const more = withMoreClients(result.workload)?.id;
    const driven = results.find(({ workload }) => workload.id === more);
    return toSection(result, conditions.cores, driven);
  });

/** The sections that have a target, by workload id. */
export const judgedOf = (sections: readonly Section[]): { id: string; verdict: Verdict }[] =>
  sections.flatMap(({ workload, verdict }) => (verdict === undefined ? [] : [{ id: workload.id, verdict }]));

export const toSection = (
  { workload, results }: WorkloadResult,
  cores: number,
  driven?: WorkloadResult,
): Section => {
  const summaries = summariesOf(results, cores);
  const comparison = compare(summaries);
  const ours = summaries.find(({ role }) => role === 'ours');
  const target = TARGETS[workload.id];
  const more = driven && compare(summariesOf(driven.results, cores));
  const floor = floorShare(summaries);
  const beside = { ...(more !== undefined && { driven: more }), ...(floor !== undefined && { floor }) };
  const verdict = target && comparison && ours ? judge(target, comparison, ours, beside) : undefined;
  return {
    workload,
    heading: `${workload.id}: ${workload.title} (${circumstances(workload)})`,
    summaries,
    columns: columnsFor(workload),
    rows: summaries.map((summary) => cells(summary, workload, summaries)),
    remarks: [
      ...results.flatMap(({ server, failure }) =>
        failure === undefined ? [] : [`${server} failed: ${failure}`],
      ),
      ...remarksOn(summaries, ours),
      ...(comparison === undefined ? [] : [describe(comparison)]),
      ...(floor === undefined ? [] : [describeFloor(floor)]),
      ...(verdict === undefined ? [] : [`target: ${verdict.says}`]),
    ],
    verdict,
  };
};

const columnsFor = ({ load }: Workload): string[] => {
  const copies = load.client === 'nbdcopy';
  const unit = copies ? 'MiB' : 'request';
  const latency = copies ? [] : ['mean us', 'p50 us', 'p99 us', 'p99.9 us'];
  const rate = copies ? [] : ['IOPS'];
  return [
    'server',
    ...rate,
    'MB/s',
    'spread',
    ...latency,
    `CPU us/${unit}`,
    'peak MiB',
    'client CPU',
    'ratio',
  ];
};

const cells = (summary: Summary, { load }: Workload, all: readonly Summary[]): string[] => {
  const { latency } = summary;
  const best = Math.max(...all.filter(({ role }) => role === 'peer').map(({ throughput }) => throughput));
  const timings = latency === undefined ? [] : [latency.mean, latency.p50, latency.p99, latency.p999];
  return [
    summary.server,
    ...(load.client === 'nbdcopy' ? [] : [whole(summary.iops)]),
    whole(summary.throughput / 1e6),
    percent(summary.spread) + (summary.wide ? ' wide' : ''),
    ...timings.map((microseconds) => significant(microseconds)),
    significant(summary.cost),
    whole(summary.peak === undefined ? undefined : summary.peak / 1024),
    percent(summary.clientBusy),
    Number.isFinite(best) ? (summary.throughput / best).toFixed(2) : '-',
  ];
};

const summariesOf = (results: readonly ServerResult[], cores: number): Summary[] =>
  results.map((result) => summarize(result, cores)).filter((summary) => summary !== undefined);

const whole = (value: number | undefined): string =>
  value === undefined ? '-' : Math.round(value).toString();
const significant = (value: number | undefined): string =>
  value === undefined ? '-' : value < 100 ? value.toPrecision(3) : Math.round(value).toString();
const percent = (share: number): string => `${Math.round(share * 100)} %`;

const remarksOn = (summaries: readonly Summary[], ours: Summary | undefined): string[] => {
  const named = (which: (summary: Summary) => boolean): string =>
    summaries
      .filter(which)
      .map(({ server }) => server)
      .join(', ');
  const wide = named((summary) => summary.wide);
  const client = named(({ clientBusy }) => clientBusy > CLIENT_BOUND);
  const machine = named(({ machineBusy }) => machineBusy > MACHINE_BOUND);
  return [
    ...(wide ? [`the rounds differ too much for the median to say much: ${wide}`] : []),
    ...(client ? [`client-bound (the client used over ${percent(CLIENT_BOUND)} of its CPU): ${client}`] : []),
    ...(machine ? [`no CPU was left (over ${percent(MACHINE_BOUND)} used): ${machine}`] : []),
    ...(ours?.toggleRate === undefined
      ? []
      : [`${ours.toggleRate.toFixed(1)} toggles a second, no request failed`]),
  ];
};

const describeFloor = ({ rate, cpu, reach }: FloorShare): string =>
  `nbdloop: ${rate.toFixed(2)} of the rate of the floor` +
  (cpu === undefined ? '' : ` at ${cpu.toFixed(2)} of its CPU`) +
  (reach === undefined ? '' : `; the floor: ${reach.toFixed(2)} times the fastest peer's rate`);

const describe = ({ fastest, rate, leanest, cpu }: Comparison): string =>
  `nbdloop: ${rate.toFixed(2)} times the fastest peer's rate (${fastest})` +
  (cpu === undefined ? '' : `, ${cpu.toFixed(2)} of the leanest peer's CPU (${leanest})`);
