/** Power cuts under what an attached kernel has mounted: what was fsynced, or committed, is whole, and file systems mend themselves. */
import { resolve } from 'node:path';
import t from 'tap';
import type { SettingName } from '../cuts/rounds.js';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';
import { SNAPSHOTS } from './overlay-scripts.js';

/** How many cuts of each; each takes seconds in an emulated machine. */
const CUTS = Number(process.env.NBDLOOP_CUTS ?? 1);
const FIRST_SEED = Number(process.env.NBDLOOP_SEED ?? 1);
const ALL: readonly SettingName[] = ['ext4-ordered', 'ext4-writeback', 'xfs', 'sqlite'];
const SETTINGS = ALL.filter((name) => process.env.NBDLOOP_SETTING?.split(',').includes(name) ?? true);

const LIMIT_MS = 600_000 + CUTS * SETTINGS.length * 30_000;
t.setTimeout(LIMIT_MS + 100_000);

const cutsOf = (setting: SettingName): GuestTest => ({
  title: `${setting}: ${CUTS} cuts from seed ${FIRST_SEED} on`,
  script: `
"$NODE" ${resolve('dist/test/cuts/main.js')} --attach /run/mnt --setting ${setting} --cuts ${CUTS} --seed ${FIRST_SEED}
wait_until all_free
rm /run/${setting}.img
`,
  provoked: [/nbd\d/i, /EXT4-fs|Buffer I\/O|JBD2|Aborting journal|I\/O error|XFS/i],
  check: (t, output) => t.comment(/^.*: all is well$/m.exec(output)?.[0] ?? output),
});

/** The target of the kernel whose format our logs have. */
const KERNEL_LOG: GuestTest = {
  title: "a log that the kernel's dm-log-writes wrote is replayed: all of it, and up to a mark",
  script: `
cd /run
truncate -s 24M disk.img onto.img part.img
truncate -s 96M log.img
mkfs.ext4 -q -F disk.img
cp disk.img onto.img
cp disk.img part.img
disk=$(losetup -f --show disk.img)
log=$(losetup -f --show log.img)
echo "0 $((24 * 2048)) log-writes $disk $log" | dmsetup create logged --noudevsync --noudevrules
dmsetup mknodes
mount /dev/mapper/logged /run/mnt
dd if=/dev/urandom of=/run/mnt/one bs=64k count=20 conv=fsync status=none
sync
dmsetup message logged 0 mark here
dd if=/dev/urandom of=/run/mnt/two bs=4k count=300 oflag=direct status=none
rm /run/mnt/one
fstrim /run/mnt || true
umount /run/mnt
dmsetup remove --noudevsync logged
nbdloop replay $log --list >listed
grep -c ' write ' listed
grep -c ' flush' listed
grep ' mark ' listed
nbdloop replay $log --onto onto.img
cmp $disk onto.img
nbdloop replay $log --onto part.img --to here
e2fsck -fy part.img >/run/fsck.log 2>&1 || [ $? -lt 4 ]
mount -o loop part.img /run/mnt
[ -s /run/mnt/one ] && [ ! -e /run/mnt/two ]
umount /run/mnt
losetup -d $disk $log
rm -f onto.img part.img disk.img log.img
`,
  check: (t, output) => t.match(output, /^\d+ mark here$/m),
};

const SNAPSHOT: GuestTest = {
  title: 'snapshots of an overlay with an ext4 under fio, with and without --fsfreeze, are whole',
  script: SNAPSHOTS,
};

const skip = await skipUnlessQemu(
  'fio',
  'curl',
  'mkfs.ext4',
  'e2fsck',
  'mkfs.xfs',
  'xfs_repair',
  'sqlite3',
  'stdbuf',
  'dmsetup',
);
t.test('power cuts', { skip }, async (t) => {
  await guestTests(t, [KERNEL_LOG, SNAPSHOT, ...SETTINGS.map(cutsOf)], {
    modules: ['xfs', 'dm_mod', 'dm_log_writes'],
    timeoutMs: LIMIT_MS,
    before: 'start_daemon',
    after: 'kill -TERM $daemon; wait $daemon',
  });
});
