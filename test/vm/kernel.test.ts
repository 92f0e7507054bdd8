import t, { type Test } from 'tap';
import { TempDir } from '../helpers/temp.js';
import { type GuestOptions, runGuest } from './guest.js';
import { skipUnlessUml } from './guest-available.js';
import { GUEST_DAEMON, guestDaemonEnvironment } from './guest-daemon.js';
import { kernelComplaints } from './kernel-log.js';
import * as scripts from './kernel-scripts.js';
import { archiveProgram, USE_ARCHIVE } from './program-archive.js';

t.setTimeout(900_000);

interface Expected {
  /** Complaints of the kernel that are provoked. */
  readonly provoked?: readonly RegExp[];
  /** What must not be in the kernel's log, besides complaints. */
  readonly unheardOf?: RegExp;
}

async function succeeds(
  t: Test,
  parts: readonly string[],
  options: Omit<GuestOptions, 'script'>,
  { provoked = [], unheardOf }: Expected = {},
): Promise<void> {
  using shared = new TempDir();
  await archiveProgram(shared);
  const guest = await runGuest(shared, {
    timeoutMs: 600_000,
    memoryMiB: 2048,
    nbd: { nbdsMax: 16, maxPart: 15 },
    ...options,
    environment: { ...guestDaemonEnvironment, ...options.environment },
    script: [GUEST_DAEMON, USE_ARCHIVE, scripts.KERNEL_FUNCTIONS, ...parts].join('\n'),
  });
  t.equal(guest.status, 0, 'exit status of the guest', { console: guest.console });
  t.strictSame(kernelComplaints(guest.kernelLog, provoked), [], 'the kernel has nothing to complain of');
  if (unheardOf !== undefined) t.notMatch(guest.kernelLog, unheardOf, 'no socket died');
  for (const [duration] of guest.console.matchAll(/^\d+ ms$/gm)) t.comment(`longest write: ${duration}`);
}

/** What a dead or silent connection has the kernel say. */
const LOST_SOCKET = /nbd0: (Receive control failed|Connection timed out|Send (control|data) failed|.*dead)/i;

const noUml = skipUnlessUml('nbd-client', 'mkfs.ext4', 'fio', 'sfdisk', 'curl', 'resize2fs');

t.test('attached by netlink over four sockets, by nbd-client, and sixteen at once', { skip: noUml }, (t) =>
  succeeds(t, [scripts.ATTACH], { kernel: 'uml' }),
);

t.test('the last close of the node clears an autoclear device, a prober does not', { skip: noUml }, (t) =>
  // Mounting what is no file system is a complaint that is asked for.
  succeeds(t, [scripts.LAST_CLOSE], { kernel: 'uml' }, { provoked: [/nbd0.*(VFS|bad superblock|magic)/] }),
);

t.test('resized while mounted; partitions; two daemons', { skip: noUml }, (t) =>
  succeeds(t, [scripts.RESIZE, scripts.TWO_DAEMONS], { kernel: 'uml' }),
);

t.test('ten times SIGKILL and restart under fio: no error, nothing lost', { skip: noUml }, (t) =>
  succeeds(t, [scripts.CRASHES], { kernel: 'uml', environment: { ROUNDS: '10', SECONDS_A_ROUND: '8' } }),
);

t.test('ten handovers under fio: no socket dies, nothing is lost', { skip: noUml }, (t) =>
  succeeds(
    t,
    [scripts.HANDOVERS],
    { kernel: 'uml', environment: { ROUNDS: '10', SECONDS_A_ROUND: '6' } },
    { unheardOf: LOST_SOCKET },
  ),
);
