/** Rounds inside a virtual machine: the kernel's nbd driver is the client. */
import { existsSync, readFileSync } from 'node:fs';
import { TempDir } from '../../test/helpers/temp.js';
import { runGuest } from '../../test/vm/guest.js';
import { skipUnlessGuest } from '../../test/vm/guest-available.js';
import type { KernelVersion } from '../../test/vm/kernel-image.js';
import { type ClientRun, parseFio } from '../clients/fio.js';
import type { Sample } from '../measure.js';
import type { ServerResult, WorkloadResult } from '../results.js';
import type { Server } from '../servers/server.js';
import type { GuestLoad, Workload } from '../workloads.js';
import { GUEST_SERVERS, guestScript, readTicks, reportName } from './script.js';

export interface GuestPlan {
  readonly servers: readonly Server[];
  readonly rounds: number;
  /** Seconds a run. */
  readonly runtime: number;
  readonly progress: (says: string) => void;
}

/** Boots once for all that want this kernel; the servers run in the guest and take turns. */
export const runInGuest = async (
  plan: GuestPlan,
  kernel: KernelVersion,
  workloads: readonly Workload[],
): Promise<WorkloadResult[]> => {
  const rows = workloads.flatMap((workload) =>
    workload.load.client === 'guest' ? [{ workload, load: workload.load }] : [],
  );
  if (rows.length === 0) return [];
  const servers = plan.servers.filter(({ name }) => name in GUEST_SERVERS);
  const names = servers.map(({ name }) => name);
  const failed = (failure: string): WorkloadResult[] =>
    rows.map(({ workload }) => ({
      workload,
      results: servers.map((server) => toResult(server, [], failure)),
    }));
  const missing = await skipUnlessGuest({ version: kernel });
  if (missing !== false) return failed(missing);
  using shared = new TempDir();
  plan.progress(`Linux ${kernel} in the virtual machine`);
  const { rounds, runtime } = plan;
  const loads = rows.map(({ workload: { id }, load }) => ({ id, load }));
  const guest = await runGuest(shared, {
    kernel,
    memoryMiB: 2048,
    modules: ['loop'],
    script: guestScript(names, loads, { rounds, runtime }),
    timeoutMs: 180_000 + (rounds + 1) * names.length * rows.length * (runtime + 15) * 1000,
    onConsole: (text) => plan.progress(text.trim().split('\n').at(-1) ?? ''),
  });
  if (guest.status !== 0)
    return failed(`the guest failed: ${guest.console.trim().split('\n').slice(-3).join(' / ')}`);
  const samplesOf = (name: string, id: string, load: GuestLoad): Sample[] =>
    Array.from({ length: rounds }, (_, index) => shared.file(reportName(name, id, index + 1)))
      .filter((path) => existsSync(path))
      .map((path) => toSample(parseFio(readFileSync(path, 'utf8'), load), readTicks(`${path}.cpu`)));
  return rows.map(({ workload, load }) => ({
    workload,
    results: servers.map((server) => toResult(server, samplesOf(server.name, workload.id, load))),
  }));
};

/** The server's memory is the guest's: not looked at. */
const toSample = (client: ClientRun, serverCpu: number | undefined): Sample => ({
  ...client,
  serverCpu,
  peak: undefined,
  toggleRate: undefined,
});

const toResult = ({ name, role }: Server, samples: Sample[], failure?: string): ServerResult => ({
  server: name,
  role,
  samples,
  ...(failure === undefined ? {} : { failure }),
});
