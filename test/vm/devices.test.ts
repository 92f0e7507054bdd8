import t from 'tap';
import * as scripts from './device-scripts.js';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';
import * as inUse from './in-use-scripts.js';
import * as mounts from './mount-scripts.js';

t.setTimeout(1_600_000);

const TESTS: readonly GuestTest[] = [
  { title: 'as root with the nbd module, nbdlosetup works as losetup does', script: scripts.LIKE_LOSETUP },
  { title: 'attached by netlink over four sockets, and verified', script: scripts.OVER_FOUR_SOCKETS },
  { title: 'attached by nbd-client, and not twice', script: scripts.BY_NBD_CLIENT },
  {
    title: 'a file system goes through nbd-client and the daemon into the file',
    script: scripts.FILE_SYSTEM_BY_HAND,
  },
  { title: 'sixteen devices attach at once, each its own', script: scripts.SIXTEEN },
  {
    title: 'umount clears an autoclear device, and -d of a mounted one waits for that',
    script: scripts.LAST_CLOSE,
  },
  {
    title: 'a file that is no file system leaves nothing behind when it is mounted',
    script: scripts.NOT_A_FILE_SYSTEM,
  },
  {
    title: 'an autoclear device waits for its user, whoever looks at it before',
    script: scripts.WAITS_FOR_ITS_USER,
  },
  { title: 'a mounted device grows, and does not shrink', script: scripts.RESIZED },
  {
    title: 'a mounted device is detached by force, and by nothing less',
    script: scripts.DETACHED_BY_FORCE,
    provoked: [/I\/O error.* nbd0/i, /(EXT4-fs|JBD2).*nbd0/],
  },
  { title: 'partitions appear as nodes, and are read again', script: scripts.PARTITIONS },
  {
    title:
      'every thread is an I/O flusher, and the daemon is the last to be killed for memory while a device is bound',
    script: scripts.IO_FLUSHER,
  },
  {
    title: 'whoever uses a device, and by whatever name: it is not detached, and -d waits for the last close',
    script: inUse.USED_IN_ANY_WAY,
  },
  {
    title: 'a btrfs that is mounted in another mount namespace only is a user',
    script: inUse.BTRFS_ELSEWHERE,
  },
  {
    title: 'an autoclear device that a loop device of the kernel is built on waits for its end',
    script: inUse.AUTOCLEAR_FOR_ANY_USER,
  },
  { title: '-d of a device that is probed without end succeeds, and it is gone', script: inUse.PROBED },
  {
    title: 'partitions are there when they were asked for, else not, and a failure is told',
    script: inUse.PARTITIONS_ASKED_FOR,
  },
  { title: 'devices that other NBD clients have are passed by', script: inUse.OTHERS_HAVE_SOME },
  { title: 'a node that is missing is made', script: inUse.NODE_MISSING },
  { title: 'a second daemon gets neither the state nor the file', script: scripts.TWO_DAEMONS },
  { title: 'mount -t nbdloop, and lines of fstab; umount lets everything go', script: mounts.MOUNT_HELPER },
  { title: 'block size and window of a device that somebody claims are EBUSY', script: mounts.CLAIMED },
  ...(process.env.NBDLOOP_ALL_MOUNTS === '1'
    ? [{ title: 'partitions, failures and devices that were there before', script: mounts.OTHER_MOUNTS }]
    : []),
  {
    title:
      'all that is mounted from devices, partitions and what stands on them is unmounted at the end of the machine',
    script: mounts.UNMOUNTED,
  },
  {
    title:
      'a daemon that ends with its machine detaches idle devices, and writes what is mounted before it cuts the others off',
    script: mounts.MACHINE_ENDS,
    provoked: [/I\/O error.* nbd\d/i, /(EXT4-fs|JBD2|Buffer I\/O).*nbd\d/],
  },
];

/** Besides file systems: what btrfs asks for by algorithm, not by dependency. */
const MODULES = ['btrfs', 'dm_mod', 'xxhash_generic', 'blake2b_generic'];

const noQemu = await skipUnlessQemu(
  ...[
    'nbd-client',
    'nbdkit',
    'mkfs.ext4',
    'mkfs.btrfs',
    'fio',
    'sfdisk',
    'curl',
    'resize2fs',
    'dmsetup',
    'partx',
    'nbdinfo',
    'systemd-socket-activate',
  ],
);

t.test('devices of one daemon, in a kernel with two processors', { skip: noQemu }, (t) =>
  guestTests(t, TESTS, { before: 'start_daemon', after: 'wait $daemon', modules: MODULES }),
);
