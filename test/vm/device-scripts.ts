/**
 * What a guest does with devices that its daemon attaches; one daemon, started before, serves all of these. What is no matter
 * of the command line is asked for without it: a program of ours takes seconds to start here.
 */

/** Attaches by both ways. */
export const OVER_FOUR_SOCKETS = `
truncate -s 64M /run/disk.img
api POST /devices/find '{"file":"/run/disk.img"}' >/run/answer
is_free nbd0
[ "$(nbdloop attach loop0 --by netlink --connections 4)" = /dev/nbd0 ]
is_attached nbd0
grep -q '^nbdloop:[0-9a-f]*:loop0:[0-9a-f-]*$' /sys/block/nbd0/backend
[ "$(sectors nbd0)" = $((64 << 11)) ]
nbdloop status --json | grep -q '"openers": 4'
fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=16 \\
  --size=4m --numjobs=4 --offset_increment=16m --eta=never --verify=crc32c --verify_fatal=1 --verify_state_save=0
dd if=/dev/urandom of=/run/random bs=1M count=16 status=none
dd if=/run/random of=/dev/nbd0 bs=1M oflag=direct status=none
cmp -n $((16 << 20)) /run/random /run/disk.img
nbdloop detach loop0
is_free nbd0
say 'detached from the kernel, it is still bound'
holds_file /run/disk.img
api DELETE /devices/0/backing
`;

export const BY_NBD_CLIENT = `
truncate -s 16M /run/client.img
dd if=/dev/urandom of=/run/client.img bs=1M count=8 conv=notrunc status=none
attached /run/client.img '' '"by":"nbd-client"'
is_attached nbd0
cmp /run/client.img /dev/nbd0
say 'an attached device is not attached again'
if nbdloop attach loop0 2>/run/error; then exit 1; fi
grep -q EBUSY /run/error
[ "$(wc -l </run/error)" = 1 ]
dd if=/dev/zero of=/dev/nbd0 bs=1M count=1 oflag=direct status=none
cmp -n $((1 << 20)) /dev/zero /run/client.img
api DELETE "/devices/$number/attach"
wait_until is_free nbd0
api DELETE "/devices/$number/backing"
`;

/** The stock client on its own, as on another machine, and what the file then holds for the kernel's loop driver. */
export const FILE_SYSTEM_BY_HAND = `
truncate -s 64M /run/disk.img
api POST /devices/find '{"file":"/run/disk.img"}' >/run/answer
nbd-client -unix "$(nbdloop uri loop0 | sed 's/.*socket=//')" /dev/nbd0 -name loop0
[ "$(blockdev --getsize64 /dev/nbd0)" = $((64 << 20)) ]
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 /run/mnt
dd if=/dev/urandom of=/run/mnt/file bs=1M count=8 status=none
sum=$(sha256sum </run/mnt/file)
umount /run/mnt
nbd-client -d /dev/nbd0
wait_until is_free nbd0
api DELETE /devices/0/backing
fsck.ext4 -f -n /run/disk.img
mount -o loop,ro /run/disk.img /run/mnt
[ "$sum" = "$(sha256sum </run/mnt/file)" ]
umount /run/mnt
`;

export const LIKE_LOSETUP = `
truncate -s 64M /run/disk.img
say 'nbdlosetup -f --show attaches and prints the node'
[ "$(nbdlosetup -f --show /run/disk.img)" = /dev/nbd0 ]
[ "$(blockdev --getsize64 /dev/nbd0)" = $((64 << 20)) ]
[ "$(nbdlosetup -n -O NAME,BACK-FILE --raw)" = '/dev/nbd0 /run/disk.img' ]
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 /run/mnt
echo hello >/run/mnt/file
say 'a second file becomes a second node'
truncate -s 8M /run/other.img
[ "$(nbdlosetup -f --show -r /run/other.img)" = /dev/nbd1 ]
[ "$(blockdev --getro /dev/nbd1)" = 1 ]
umount /run/mnt
say 'nbdlosetup -d lets both go'
nbdlosetup -d /dev/nbd0 /dev/nbd1
is_free nbd0
is_free nbd1
[ -z "$(nbdlosetup -n -O NAME --raw)" ]
mount -o loop,ro /run/disk.img /run/mnt
[ "$(cat /run/mnt/file)" = hello ]
umount /run/mnt
`;

/** One client asks for all of them at once: as many starts of a program would come one after another. */
export const SIXTEEN = `
for i in $(seq 0 15); do
  truncate -s $((i + 4))M /run/many.$i
  printf 'disk %02d' $i | dd of=/run/many.$i conv=notrunc status=none
done
"$NODE" --input-type=module -e '
  const { ControlClient } = await import(process.env.CONTROL_CLIENT);
  const client = new ControlClient(process.env.NBDLOOP_CONTROL);
  const files = Array.from({ length: 16 }, (_, i) => "/run/many." + i);
  const attached = await Promise.all(files.map(async (file) => {
    const { number } = await client.find({ file });
    return client.attach(number);
  }));
  for (const { file, node } of attached) console.log(file + " " + node);
' >/run/nodes
cat /run/nodes
while read -r file node; do
  i=\${file#/run/many.}
  [ "$(dd if=$node bs=7 count=1 iflag=fullblock status=none)" = "$(printf 'disk %02d' $i)" ]
  [ "$(sectors "\${node#/dev/}")" = $(((i + 4) << 11)) ]
done </run/nodes
[ "$(cut -d ' ' -f 2 /run/nodes | sort -u | wc -l)" = 16 ]
nbdlosetup -D
all_free
rm /run/many.*
`;

export const LAST_CLOSE = `
truncate -s 64M /run/disk.img
mkfs.ext4 -q -F /run/disk.img
say 'nbdloop mount, looked at by probers, and umount'
nbdloop mount -o noatime /run/disk.img /run/mnt
grep -q '^/dev/nbd0 /run/mnt ext4 .*noatime' /proc/mounts
blkid /dev/nbd0
blockdev --getsize64 /dev/nbd0
echo hello >/run/mnt/file
say 'a mounted device is not disconnected, and -d of it is lazy'
if nbdloop detach loop0 2>/run/error; then exit 1; fi
grep -q EBUSY /run/error
umount /run/mnt
wait_until is_cleared nbd0 /run/disk.img
attached /run/disk.img
mount /dev/nbd0 /run/mnt
nbdlosetup -d /dev/nbd0
[ "$(cat /run/mnt/file)" = hello ]
[ "$(nbdlosetup -n -O AUTOCLEAR --raw /dev/nbd0)" = 1 ]
dd if=/dev/urandom of=/run/mnt/more bs=64k count=16 conv=fsync status=none
sleep 2
mountpoint -q /run/mnt
umount /run/mnt
wait_until is_cleared nbd0 /run/disk.img
fsck.ext4 -f -n /run/disk.img
`;

export const NOT_A_FILE_SYSTEM = `
truncate -s 1M /run/nothing.img
if nbdloop mount /run/nothing.img /run/mnt 2>/run/error; then exit 1; fi
cat /run/error
wait_until is_cleared nbd0 /run/nothing.img
`;

export const WAITS_FOR_ITS_USER = `
truncate -s 16M /run/small.img
mkfs.ext4 -q -F /run/small.img
curl -sf --unix-socket "$NBDLOOP_CONTROL" -H 'content-type: application/json' \\
  -d '{"file":"/run/small.img","autoclear":true}' http://localhost/devices/find >/run/found
nbdloop attach loop0
blkid /dev/nbd0
blkid -p /dev/nbd0
is_attached nbd0
mount /dev/nbd0 /run/mnt
sleep 3
is_attached nbd0
umount /run/mnt
wait_until is_cleared nbd0 /run/small.img
`;

/** A file with an ext4 in it, attached and mounted, that says hello. */
const mounted = (image: string, size: string): string => `
truncate -s ${size} ${image}
mkfs.ext4 -q -F ${image}
attached ${image}
mount /dev/nbd0 /run/mnt
echo hello >/run/mnt/file
`;

export const RESIZED = `
${mounted('/run/sized.img', '64M')}
say 'grown while it is mounted'
busybox uevent busybox sh -c 'echo "$ACTION $DEVNAME $RESIZE" >>/run/uevents' &
listener=$!
sleep 1
truncate -s 128M /run/sized.img
nbdlosetup -c /dev/nbd0
[ "$(sectors nbd0)" = $((128 << 11)) ]
is_told() { grep -qs '^change nbd0 1$' /run/uevents; }
wait_until is_told
kill $listener
resize2fs /dev/nbd0
[ "$(df --output=size -m /run/mnt | tail -1)" -gt 100 ]
say 'not shrunk while it is mounted'
truncate -s 64M /run/sized.img
if nbdlosetup -c /dev/nbd0 2>/run/error; then exit 1; fi
grep -q EBUSY /run/error
[ "$(sectors nbd0)" = $((128 << 11)) ]
truncate -s 128M /run/sized.img
[ "$(cat /run/mnt/file)" = hello ]
umount /run/mnt
say 'shrunk when nobody uses it'
truncate -s 32M /run/sized.img
nbdlosetup -c /dev/nbd0
[ "$(sectors nbd0)" = $((32 << 11)) ]
api DELETE "/devices/$number/backing"
`;

export const DETACHED_BY_FORCE = `
${mounted('/run/forced.img', '32M')}
sync -f /run/mnt
if nbdloop detach loop0 2>/run/error; then exit 1; fi
grep -q EBUSY /run/error
is_attached nbd0
say 'with force it is taken from under the file system'
nbdloop detach --force loop0
[ "$(nbdlosetup -n -O NAME --raw)" = loop0 ]
echo 3 >/proc/sys/vm/drop_caches
if dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null; then exit 1; fi
umount -l /run/mnt
wait_until is_free nbd0
say 'the device is bound still, with what was written, and can be attached again'
holds_file /run/forced.img
api POST "/devices/$number/attach" {} >/run/answer
mount /dev/nbd0 /run/mnt
[ "$(cat /run/mnt/file)" = hello ]
umount /run/mnt
api DELETE "/devices/$number/backing"
`;

export const PARTITIONS = `
truncate -s 64M /run/parted.img
printf 'label: dos\\n,16M\\n,16M\\n' | sfdisk -q /run/parted.img
[ "$(nbdlosetup -P -f --show /run/parted.img)" = /dev/nbd0 ]
[ -b /dev/nbd0p2 ]
[ ! -e /dev/nbd0p3 ]
mkfs.ext4 -q /dev/nbd0p2
printf 'label: dos\\n,16M\\n,8M\\n,8M\\n' | sfdisk -q --wipe never --wipe-partitions never /run/parted.img
truncate -s 128M /run/parted.img
nbdlosetup -c /dev/nbd0
[ "$(cat /sys/block/nbd0/nbd0p3/size)" = $((8 << 11)) ]
api DELETE /devices/0/backing
`;

export const TWO_DAEMONS = `
truncate -s 16M /run/ours.img
attached /run/ours.img
say 'the state directory and the file are not for another daemon'
other() { "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --control /run/other.sock --unix /run/other.nbd "$@"; }
if other --state-dir /run/state 2>/run/error; then exit 1; fi
cat /run/error
grep -q "EBUSY" /run/error
grep -q "process $daemon" /run/error
if other --state-dir /run/other --device /run/ours.img 2>/run/error; then exit 1; fi
cat /run/error
grep -q "EBUSY" /run/error
grep -q /run/ours.img /run/error
api DELETE "/devices/$number/backing"
`;

/** Leaves an idle device for the daemon's end to detach. */
export const ENDS = `
truncate -s 16M /run/left.img
attached /run/left.img
kill -TERM $daemon

wait_until is_free nbd0
`;

/** PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE, of the 7th field behind the name. */
const MARKED_THREADS = `
all_marked() {
  local task stat fields count=0
  for task in /proc/$1/task/*; do
    stat=$(<$task/stat)
    fields=(\${stat##*) })
    [ $((fields[6] & 0x180000)) = $((0x180000)) ] || { say "$task is not marked: $stat"; return 1; }
    count=$((count + 1))
  done
  say "$count threads are marked"
  [ $count -gt 5 ]
}
`;

export const IO_FLUSHER = `
${MARKED_THREADS}
truncate -s 16M /run/flusher.img
attached /run/flusher.img
all_marked $daemon
[ "$(</proc/$daemon/oom_score_adj)" = -900 ]
api DELETE "/devices/$number/backing"
wait_until is_cleared nbd0 /run/flusher.img
[ "$(</proc/$daemon/oom_score_adj)" = 0 ]
say 'a daemon that starts itself again for the mark keeps the sockets that it was handed'
export NBDLOOP_CONTROL=/run/activated/control.sock
mkdir -p /run/activated
systemd-socket-activate -l /run/activated/nbd.sock "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none \\
  --control $NBDLOOP_CONTROL >/run/activated/log 2>&1 &
activated=$!
wait_until test -S /run/activated/nbd.sock
# The first one to come starts it.
nbdinfo --list nbd+unix://?socket=/run/activated/nbd.sock || true
wait_until grep -q "process $activated, control socket" /run/activated/log
all_marked $activated
api POST /devices/find '{"file":"/run/flusher.img"}' >/run/answer
[ "$(nbdinfo --size 'nbd+unix:///loop0?socket=/run/activated/nbd.sock')" = $((16 << 20)) ]
kill -TERM $activated
wait $activated
`;
