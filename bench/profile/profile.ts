/** Where the server's CPU time of one request goes: sampled by perf while fio drives nbdloop. */
import { mkdir, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { runFio } from '../clients/fio.js';
import type { Images } from '../images.js';
import { startNbdloop } from '../servers/nbdloop.js';
import type { Site } from '../servers/server.js';
import { treeCpu } from '../system/proc.js';
import { run } from '../system/process.js';
import { circumstances, type FioLoad, type Workload } from '../workloads.js';
import { parseStacks, shares } from './stacks.js';

export interface Profile {
  readonly workload: Workload;
  /** Of the run that was sampled. */
  readonly iops: number;
  /** Server CPU microseconds a request. */
  readonly cost: number;
  readonly samples: number;
  /** Share of the samples in each category, the largest first. */
  readonly shares: ReadonlyMap<string, number>;
}

export interface ProfileOptions {
  readonly images: Images;
  /** In memory, the run's own. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** Names for perf's eyes, and frames it can walk. */
const NODE_FLAGS = ['--perf-basic-prof', '--interpreted-frames-native-stack'];
/** Seconds: the sampled stretch, and the client's run around it. */
const SAMPLED = 5;
const MARGIN = 1;
/** Samples a second. Odd, so as not to keep step with anything. */
const FREQUENCY = 1999;

export const profileWorkload = async (workload: Workload, options: ProfileOptions): Promise<Profile> => {
  const { load } = workload;
  if (load.client !== 'fio') throw new Error(`${workload.id} cannot be profiled: its client is not fio.`);
  const directory = `${options.directory}/${workload.id}`;
  await mkdir(directory);
  const { images } = options;
  const { setup } = workload;
  const site: Site = { setup, image: images[setup.medium], directory, certificates: images.certificates };
  const server = await startNbdloop(site, { ofNode: [...NODE_FLAGS, `--logfile=${directory}/v8.log`] });
  try {
    return await sample(
      { address: server.address, pid: server.pid ?? 0 },
      workload,
      load,
      directory,
      options.signal,
    );
  } finally {
    await server.stop();
    await rm(`/tmp/perf-${server.pid}.map`, { force: true });
  }
};

const sample = async (
  server: { readonly address: string; readonly pid: number },
  workload: Workload,
  load: FioLoad,
  directory: string,
  signal: AbortSignal,
): Promise<Profile> => {
  const fio = (runtime: number) => runFio(server.address, load, { runtime, seed: 1, direct: false, signal });
  await fio(MARGIN);
  const before = treeCpu(server.pid);
  const client = fio(SAMPLED + 2 * MARGIN);
  await sleep(MARGIN * 1000);
  const data = `${directory}/perf.data`;
  const recording = record(server.pid, data, signal);
  const [{ requests = 0, seconds }] = await Promise.all([client, recording]);
  const cost = (treeCpu(server.pid) - before) / requests;
  const fields = ['--no-inline', '--fields', 'tid,ip,sym,dso', '--input', data];
  const stacks = parseStacks(await run('perf', ['script', ...fields], { timeout: 120_000, signal }));
  if (stacks.length === 0) throw new Error(`perf took no sample of ${workload.id}`);
  return { workload, iops: requests / seconds, cost, samples: stacks.length, shares: shares(stacks) };
};

const record = (pid: number, data: string, signal: AbortSignal): Promise<string> =>
  run(
    'perf',
    [
      ...['record', '--quiet', '--call-graph', 'fp', '--freq', String(FREQUENCY), '--pid', String(pid)],
      ...['--output', data, '--', 'sleep', String(SAMPLED)],
    ],
    { timeout: (SAMPLED + 30) * 1000, signal },
  );

/** One column a workload: microseconds of a request in each category. Categories below 1 % everywhere are summed. */
export const profileTable = (profiles: readonly Profile[]): { columns: string[]; rows: string[][] } => {
  const named = new Set<string>();
  for (const profile of profiles) {
    for (const [category, share] of profile.shares) if (share >= 0.01) named.add(category);
  }
  const microseconds = ({ shares: all, cost }: Profile, category: string): number =>
    (all.get(category) ?? 0) * cost;
  const total = (category: string): number =>
    profiles.reduce((sum, profile) => sum + (profile.shares.get(category) ?? 0), 0);
  const order = [...named].toSorted((a, b) => total(b) - total(a));
  const other = (profile: Profile): number =>
    profile.cost - order.reduce((sum, category) => sum + microseconds(profile, category), 0);
  const row = (name: string, value: (profile: Profile) => number): string[] => [
    name,
    ...profiles.map((profile) => value(profile).toFixed(2)),
  ];
  return {
    columns: ['us a request in', ...profiles.map(({ workload }) => workload.id)],
    rows: [
      ...order.map((category) => row(category, (profile) => microseconds(profile, category))),
      row('other', other),
      row('all', ({ cost }) => cost),
    ],
  };
};

/** Sentences below the table. */
export const profileRemarks = (profiles: readonly Profile[]): string[] => [
  `perf, ${FREQUENCY} samples a second over ${SAMPLED} s of all threads of nbdloop; a system call's time includes all that the kernel did in it`,
  ...profiles.map(
    ({ workload, iops, samples }) =>
      `${workload.id}: ${workload.title} (${circumstances(workload)}), ${Math.round(iops)} IOPS while sampled, ${samples} samples`,
  ),
];
