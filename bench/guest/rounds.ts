/** Rounds inside a virtual machine: the kernel's nbd driver is the client. */
import { existsSync, readFileSync } from 'node:fs';
import { TempDir } from '../../test/helpers/temp.js';
import { runGuest } from '../../test/vm/guest.js';
import { skipUnlessQemu } from '../../test/vm/guest-available.js';
import { type ClientRun, parseFio } from '../clients/fio.js';
import type { Sample } from '../measure.js';
import type { ServerResult, WorkloadResult } from '../results.js';
import type { Server } from '../servers/server.js';
import type { GuestLoad, Workload } from '../workloads.js';
import { GUEST_SERVERS, guestScript, reportName } from './script.js';

export interface GuestPlan {
  readonly servers: readonly Server[];
  readonly rounds: number;
  /** Seconds a run. */
  readonly runtime: number;
  readonly progress: (says: string) => void;
}

/** Boots once; all servers run in the guest and take turns at /dev/nbd0. */
export const runInGuest = async (
  plan: GuestPlan,
  workload: Workload,
  load: GuestLoad,
): Promise<WorkloadResult> => {
  const servers = plan.servers.filter(({ name }) => name in GUEST_SERVERS);
  const names = servers.map(({ name }) => name);
  const failed = (failure: string): WorkloadResult => ({
    workload,
    results: servers.map((server) => toResult(server, [], failure)),
  });
  const missing = await skipUnlessQemu();
  if (missing !== false) return failed(missing);
  using shared = new TempDir();
  plan.progress(`${workload.id}: in the virtual machine`);
  const { rounds, runtime } = plan;
  const guest = await runGuest(shared, {
    memoryMiB: 2048,
    script: guestScript(names, load, { rounds, runtime }),
    timeoutMs: 180_000 + (rounds + 1) * names.length * (runtime + 15) * 1000,
    onConsole: (text) => plan.progress(`${workload.id}: ${text.trim().split('\n').at(-1) ?? ''}`),
  });
  if (guest.status !== 0)
    return failed(`the guest failed: ${guest.console.trim().split('\n').slice(-3).join(' / ')}`);
  const samplesOf = (name: string): Sample[] =>
    Array.from({ length: rounds }, (_, index) => shared.file(reportName(name, index + 1)))
      .filter((path) => existsSync(path))
      .map((path) => toSample(parseFio(readFileSync(path, 'utf8'), load)));
  return { workload, results: servers.map((server) => toResult(server, samplesOf(server.name))) };
};

/** The server's CPU and memory are the guest's: not looked at. */
const toSample = (client: ClientRun): Sample => ({
  ...client,
  serverCpu: undefined,
  peak: undefined,
  toggleRate: undefined,
});

const toResult = ({ name, role }: Server, samples: Sample[], failure?: string): ServerResult => ({
  server: name,
  role,
  samples,
  ...(failure === undefined ? {} : { failure }),
});
