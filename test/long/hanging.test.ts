/** File systems that hang or crawl under devices that the kernel has: requests, attach, detach, crashes and handovers. */
import { truncateSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { compileFuse, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { TempDir } from '../helpers/temp.js';
import { skipUnlessQemu } from '../vm/guest-available.js';
import { type GuestTest, guestTests } from '../vm/guest-tests.js';
import * as scripts from './hanging-scripts.js';

t.setTimeout(1_600_000);
const MB = 1_000_000;

const KINDS = [
  ['a frozen ext4', scripts.FROZEN_EXT4],
  ['a stopped FUSE server', scripts.STOPPED_FUSE],
  ['FUSE at 50 ms a request', scripts.SLOW_FUSE],
  ['a disk at 1 MB/s', scripts.SLOW_DISK],
] as const;

/** What a killed daemon leaves, and what waits for the next one. */
const PROVOKED = [/blocked for more than/];
/** Only what is dead for the kernel may be. */
const FAILED = /I\/O error/i;

const of = (kind: string, title: string, script: string): GuestTest => ({
  title: `${kind}: ${title}`,
  script,
  provoked: PROVOKED,
  unheardOf: FAILED,
});

/** Those with this in their titles. */
const only = new RegExp(process.env.NBDLOOP_HANGING ?? '');
const ALL: readonly GuestTest[] = [
  ...KINDS.map(([kind, define]) =>
    of(kind, 'attach and detach wait or are done, and nothing is left behind', `${define}\n${scripts.ASKED}`),
  ),
  ...KINDS.slice(0, 2).flatMap(([kind, define]) => [
    of(kind, 'a daemon that is killed and hangs is no obstacle to the next', `${define}\n${scripts.KILLED}`),
    of(kind, 'a handover ends, and others go on', `${define}\n${scripts.HANDED_OVER_HANGING}`),
  ]),
  of('FUSE', 'a handover behind a flush that hangs', `${scripts.SLOW_FUSE}\n${scripts.FLUSH_HANGS}`),
  of('FUSE', 'a handover behind a long TRIM', `${scripts.SLOW_FUSE}\n${scripts.LONG_TRIM}`),
];

const TESTS = ALL.filter(({ title }) => only.test(title));

const skip =
  skipWithoutFuse() || (await skipUnlessQemu('mkfs.ext4', 'curl', 'fsfreeze', 'blkdiscard', 'mountpoint'));
t.test('what hangs under attached devices', { skip }, async (t) => {
  await compileFuse();
  using files = new TempDir();
  const disk = files.file('disk');
  writeFileSync(disk, '');
  truncateSync(disk, 192 << 20);
  const throttle = { 'throttling.bps-write': MB, 'throttling.bps-write-max': MB };
  await guestTests(t, TESTS, {
    before: scripts.BESIDE,
    after: 'find_daemon; kill -TERM $daemon; wait_until has_ended $daemon',
    modules: ['fuse', 'virtio_blk'],
    disks: [{ file: disk, drive: { cache: 'none', aio: 'threads', ...throttle } }],
  });
});
