import { leftOpen } from './kinds.js';
import type { Aftermath } from './storm.js';

/** How much larger the daemon may be after a storm than early in it, bytes. */
const MEMORY_SLACK = 64 << 20;

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
  faults.push(...leftOpen(...descriptors));
  if (resident[1] > resident[0] + MEMORY_SLACK)
    faults.push(`memory went from ${resident.join(' to ')} bytes`);
  return faults;
}
