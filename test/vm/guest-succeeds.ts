import type { Test } from 'tap';
import { TempDir } from '../helpers/temp.js';
import { type GuestOptions, runGuest } from './guest.js';
import { GUEST_DAEMON, guestDaemonEnvironment } from './guest-daemon.js';
import { kernelComplaints } from './kernel-log.js';

/** Asserts that a guest with a daemon of its own runs the script to a good end, every nbd device free again. */
export async function succeeds(
  t: Test,
  script: string,
  options: Omit<GuestOptions, 'script'>,
): Promise<void> {
  using shared = new TempDir();
  const guest = await runGuest(shared, {
    timeoutMs: 240_000,
    memoryMiB: 1536,
    environment: guestDaemonEnvironment,
    ...options,
    script: `${GUEST_DAEMON}${script}\nwait_until all_free\n`,
  });
  t.equal(guest.status, 0, 'exit status of the guest', { console: guest.console });
  t.strictSame(kernelComplaints(guest.kernelLog), [], 'the kernel has nothing to complain of');
}
