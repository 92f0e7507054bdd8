import type { Aftermath } from './storm.js';

/** How much larger the daemon may be after a storm than early in it, bytes. */
const MEMORY_SLACK = 64 << 20;

/** Descriptors of two threads (five each) that are kept ready for another file system, and of the process beside the daemon. */
export const KEPT_READY = 12;

/** Everything that should not be. */
export function judge({
  tally,
  lockdepReports,
  openers,
  inFlight,
  descriptors,
  resident,
}: Aftermath): string[] {
  const faults = [...tally.faults, ...lockdepReports];
  if (openers !== 0) faults.push(`${openers} openers are left`);
  if (inFlight !== 0) faults.push(`${inFlight} requests are left in flight`);
  if (descriptors[1] > descriptors[0] + KEPT_READY)
    faults.push(`descriptors went from ${descriptors.join(' to ')}`);
  if (resident[1] > resident[0] + MEMORY_SLACK)
    faults.push(`memory went from ${resident.join(' to ')} bytes`);
  return faults;
}
