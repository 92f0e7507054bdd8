/** How many descriptors this process may have, and how many of them clients leave to the daemon itself. */

import { readFileSync } from 'node:fs';

/** For the control socket, the state, files that are bound, and what is taken up again after a restart. */
const KEPT = 64;

/** RLIMIT_NOFILE, the soft limit: Node raises it to the hard one when it starts. Infinity where there is none. */
export function descriptorLimit(): number {
  const [, limit] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  return limit === undefined || limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
}

/**
 * Why a client that has this descriptor may not stay, or undefined. The kernel gives the lowest that is free, so as
 * many are in use as its number says.
 */
export function lacksDescriptors(fd: number, limit: number): string | undefined {
  if (fd < limit - KEPT) return undefined;
  return `too many open files: ${fd} of ${limit} (RLIMIT_NOFILE, LimitNOFILE=), and the last ${KEPT} are not for clients (see "open files" in nbdloop doctor)`;
}
