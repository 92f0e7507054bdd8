import t from 'tap';
import { skipUnlessQemu, skipUnlessUml } from './guest-available.js';
import { succeeds } from './guest-succeeds.js';

t.setTimeout(600_000);

const FOUR_CONNECTIONS = `
truncate -s 64M /run/disk.img
start_daemon
nbdlosetup --no-attach -f /run/disk.img
say 'four sockets to one device'
[ "$(nbdloop attach loop0 --by netlink --connections 4)" = /dev/nbd0 ]
is_attached nbd0
grep -q '^nbdloop:.*:loop0$' /sys/block/nbd0/backend
fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=16 \\
  --size=4m --numjobs=4 --offset_increment=16m --eta=never --verify=crc32c --verify_fatal=1 --verify_state_save=0
nbdloop detach loop0
stop_daemon
`;

t.test(
  'four connections into a kernel with two processors, verified',
  { skip: await skipUnlessQemu('fio') },
  (t) => succeeds(t, FOUR_CONNECTIONS, { kernel: 'qemu' }),
);

const MOUNTED = `
truncate -s 64M /run/disk.img
mkfs.ext4 -q /run/disk.img
start_daemon
say 'mount, as mount -o loop'
nbdloop mount /run/disk.img /run/mnt
mountpoint -q /run/mnt
is_attached nbd0
echo hello >/run/mnt/file
umount /run/mnt
say 'umount clears everything'
wait_until all_free
unbound() { [ -z "$(nbdlosetup -n -O NAME --raw)" ]; }
wait_until unbound

say 'nbdlosetup -d of a mounted device is lazy'
node=$(nbdlosetup -f --show /run/disk.img)
mount $node /run/mnt
[ "$(cat /run/mnt/file)" = hello ]
nbdlosetup -d $node
mountpoint -q /run/mnt
dd if=/dev/urandom of=/run/mnt/more bs=64k count=16 conv=fsync status=none
umount /run/mnt
wait_until all_free
wait_until unbound
stop_daemon
fsck.ext4 -f -n /run/disk.img
`;

t.test(
  'umount of an autoclear device clears it, and -d of a mounted one waits for that',
  { skip: skipUnlessUml('mkfs.ext4') },
  (t) => succeeds(t, MOUNTED, { kernel: 'uml' }),
);

const RESIZED = `
truncate -s 32M /run/disk.img
start_daemon
node=$(nbdlosetup -f --show /run/disk.img)
mkfs.ext4 -q $node
mount $node /run/mnt
echo hello >/run/mnt/file
say 'growing it while it is mounted'
truncate -s 96M /run/disk.img
nbdlosetup -c $node
[ "$(cat /sys/block/nbd0/size)" = $((96 << 11)) ]
resize2fs $node
[ "$(df --output=size -k /run/mnt | tail -1)" -gt 80000 ]
say 'shrinking what is in use is refused'
truncate -s 128M /run/disk.img
nbdlosetup -c $node
truncate -s 64M /run/disk.img
if nbdlosetup -c $node 2>/run/error; then exit 1; fi
cat /run/error
truncate -s 128M /run/disk.img
[ "$(cat /run/mnt/file)" = hello ]
umount /run/mnt
nbdlosetup -d $node
wait_until all_free
stop_daemon
`;

t.test(
  'a mounted device grows, and does not shrink',
  { skip: skipUnlessUml('mkfs.ext4', 'resize2fs') },
  (t) => succeeds(t, RESIZED, { kernel: 'uml' }),
);

const PARTITIONS = `
truncate -s 64M /run/disk.img
sfdisk -q /run/disk.img <<'TABLE'
label: dos
start=2048, size=32768, type=83
start=65536, type=83
TABLE
start_daemon
node=$(nbdlosetup -P -f --show /run/disk.img)
wait_until test -b \${node}p1
wait_until test -b \${node}p2
[ "$(cat /sys/block/nbd0/nbd0p1/size)" = 32768 ]
mkfs.ext4 -q \${node}p2
nbdlosetup -d $node
wait_until all_free
stop_daemon
`;

t.test('partitions of a device appear as nodes', { skip: skipUnlessUml('sfdisk', 'mkfs.ext4') }, (t) =>
  succeeds(t, PARTITIONS, { kernel: 'uml' }),
);

const SIXTEEN = `
start_daemon
for index in $(seq 0 15); do
  truncate -s 4M /run/disk$index.img
  printf 'disk %02d' $index | dd of=/run/disk$index.img conv=notrunc status=none
  nbdlosetup --no-attach loop$index /run/disk$index.img
done
for index in $(seq 0 15); do nbdloop attach loop$index >/run/attach$index & jobs="\${jobs:-} $!"; done
for job in $jobs; do wait $job; done
for index in $(seq 0 15); do
  [ "$(cat /run/attach$index)" = /dev/nbd$index ]
  [ "$(dd if=/dev/nbd$index bs=7 count=1 iflag=fullblock status=none)" = "$(printf 'disk %02d' $index)" ]
done
nbdlosetup -D
wait_until all_free
stop_daemon
`;

t.test('sixteen devices attach at once, each its own', { skip: skipUnlessUml() }, (t) =>
  succeeds(t, SIXTEEN, { kernel: 'uml', nbd: { nbdsMax: 16 } }),
);
