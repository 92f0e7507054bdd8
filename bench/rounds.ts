/** Runs the workloads: servers side by side, taking turns within every round. */
import { mkdir } from 'node:fs/promises';
import { KERNELS } from '../test/vm/kernel-image.js';
import { runInGuest } from './guest/rounds.js';
import type { Images } from './images.js';
import { type MeasureOptions, measure, type Sample } from './measure.js';
import { CLIENT_BOUND, type ServerResult, summarize, type WorkloadResult } from './results.js';
import type { RunningServer, Server, Setup } from './servers/server.js';
import { type Workload, withMoreClients } from './workloads.js';

export interface Plan {
  readonly workloads: readonly Workload[];
  readonly servers: readonly Server[];
  readonly rounds: number;
  /** Seconds a run. */
  readonly runtime: number;
  readonly images: Images;
  /** A directory of the run's own, in memory. */
  readonly directory: string;
  readonly cores: number;
  readonly signal: AbortSignal;
  readonly progress: (says: string) => void;
  /** After each workload. */
  readonly finished: (result: WorkloadResult) => void;
}

/** A server of the present setup, or why it does not run. */
interface Contender {
  readonly server: Server;
  readonly running?: RunningServer;
  readonly failure?: string;
}

export const runWorkloads = async (plan: Plan): Promise<WorkloadResult[]> => {
  const results: WorkloadResult[] = [];
  const outside = plan.workloads.filter(({ load }) => load.client !== 'guest');
  for (const [number, workloads] of groupBySetup(outside).entries()) {
    const [{ setup } = { setup: undefined }] = workloads;
    if (setup === undefined) continue;
    const contenders = await startAll(plan, setup, number);
    try {
      for (const workload of workloads) {
        if (!contenders.some(({ server }) => canRun(server, workload))) continue;
        for (const result of await withFollowUp(plan, workload, contenders)) {
          plan.finished(result);
          results.push(result);
        }
      }
    } finally {
      await Promise.allSettled(contenders.map(({ running }) => running?.stop()));
    }
  }
  for (const kernel of KERNELS) {
    const rows = plan.workloads.filter(({ load }) => load.client === 'guest' && load.kernel === kernel);
    for (const result of await runInGuest(plan, kernel, rows)) {
      plan.finished(result);
      results.push(result);
    }
  }
  return results;
};

/** Neighbours with an equal setup together. */
const groupBySetup = (workloads: readonly Workload[]): Workload[][] => {
  const groups = new Map<string, Workload[]>();
  for (const workload of workloads) {
    const key = JSON.stringify(workload.setup);
    groups.set(key, [...(groups.get(key) ?? []), workload]);
  }
  return [...groups.values()];
};

const startAll = async (plan: Plan, setup: Setup, number: number): Promise<Contender[]> => {
  const contenders: Contender[] = [];
  for (const server of plan.servers.filter((candidate) => candidate.supports(setup))) {
    plan.progress(`starting ${server.name}`);
    const directory = `${plan.directory}/${number}-${server.name}`;
    await mkdir(directory);
    const { images } = plan;
    const site = { setup, image: images[setup.medium], directory, certificates: images.certificates };
    try {
      contenders.push({ server, running: await server.start(site) });
    } catch (error) {
      contenders.push({ server, failure: `${server.name} does not start: ${sentence(error)}` });
    }
  }
  return contenders;
};

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The workload, and where the client was the bound for nbdloop the same from more clients. */
const withFollowUp = async (plan: Plan, workload: Workload, contenders: readonly Contender[]) => {
  const first = await runRounds(plan, workload, contenders);
  const ours = first.results.find(({ role }) => role === 'ours');
  const busy = ours === undefined ? undefined : summarize(ours, plan.cores)?.clientBusy;
  const next = withMoreClients(workload);
  if (next === undefined || busy === undefined || busy <= CLIENT_BOUND) return [first];
  return [first, await runRounds(plan, next, contenders)];
};

const runRounds = async (
  plan: Plan,
  workload: Workload,
  contenders: readonly Contender[],
): Promise<WorkloadResult> => {
  const entrants = contenders.filter(({ server }) => canRun(server, workload));
  const samples = entrants.map((): Sample[] => []);
  const failures = entrants.map(({ failure }) => failure);
  for (let round = 0; round <= plan.rounds; round++) {
    for (let turn = 0; turn < entrants.length; turn++) {
      // Whoever comes first in one round comes last in the next: nobody always follows the same neighbour's heat.
      const index = (turn + round) % entrants.length;
      const contender = entrants[index];
      if (contender?.running === undefined || failures[index] !== undefined) continue;
      const warmUp = round === 0;
      plan.progress(
        `${workload.id}: ${warmUp ? 'warm-up' : `round ${round}/${plan.rounds}`}, ${contender.server.name}`,
      );
      try {
        const options = measureOptions(plan, workload, round * entrants.length + index);
        const sample = await measure(
          contender.running,
          workload,
          warmUp ? { ...options, runtime: 1 } : options,
        );
        if (!warmUp) samples[index]?.push(sample);
      } catch (error) {
        plan.signal.throwIfAborted();
        failures[index] = sentence(error);
      }
    }
  }
  return {
    workload,
    results: entrants.map(({ server }, index) => toResult(server, samples[index], failures[index])),
  };
};

/** Toggles are nbdloop's alone; the ceilings have no server that a copy could be made from. */
const canRun = (server: Server, { load, togglesPerSecond }: Workload): boolean =>
  server.role === 'ours' ||
  (togglesPerSecond === undefined && !(server.role === 'ceiling' && load.client === 'nbdcopy'));

const measureOptions = (plan: Plan, workload: Workload, seed: number): MeasureOptions => ({
  files: {
    image: plan.images[workload.setup.medium],
    source: plan.images.source,
    destination: `${plan.directory}/copy.img`,
  },
  runtime: plan.runtime,
  seed: seed + 1,
  signal: plan.signal,
});

const toResult = (
  server: Server,
  samples: Sample[] | undefined,
  failure: string | undefined,
): ServerResult => ({
  server: server.name,
  role: server.role,
  samples: samples ?? [],
  ...(failure === undefined ? {} : { failure }),
});
