/** What a guest does with devices that somebody uses; one daemon, started before, serves all of these. */

/**
 * Defines `keeps_working NAME FILE`: while somebody uses the device, as `begin_NAME` does, it is not detached, and -d of
 * it waits; after either `use_NAME` works; and with `end_NAME` it is over.
 */
const KEEPS_WORKING = `
keeps_working() {
  say "used by $1"
  attached "$2"
  begin_$1
  use_$1
  if api DELETE "/devices/$number/attach" >/run/answer; then exit 1; fi
  cat /run/answer
  grep -q EBUSY /run/answer
  grep -q "$3" /run/answer
  is_attached nbd$number
  use_$1
  [ "$(api DELETE "/devices/$number/backing")" = '{"outcome":"deferred"}' ]
  sleep 1
  is_attached nbd$number
  use_$1
  end_$1
  is_cleared_within 2 nbd$number "$2"
}
`;

export const USED_IN_ANY_WAY = `
${KEEPS_WORKING}
# Past every cache, so that it fails if the device does.
read_anew() {
  echo 3 >/proc/sys/vm/drop_caches
  dd if="$1" of=/dev/null bs=4k count=4 iflag=direct status=none
}
truncate -s 64M /run/used.img

begin_loop() { loop=$(losetup -f --show $node); }
use_loop() { dd if=/dev/urandom of=$loop bs=64k count=1 oflag=direct status=none; read_anew $loop; }
end_loop() { losetup -d $loop; }
keeps_working loop /run/used.img 'is the file of /dev/loop'

begin_mapper() { echo "0 65536 linear $node 0" | dmsetup create held; mapped=/dev/$(basename $(readlink -f /sys/block/nbd$number/holders/*)); }
use_mapper() { read_anew $mapped; }
end_mapper() { dmsetup remove held; }
keeps_working mapper /run/used.img '(held)'

begin_other_name() {
  mknod /run/xvda b $(tr : ' ' </sys/block/nbd$number/dev)
  exec {other}</run/xvda
}
use_other_name() { read_anew /dev/fd/$other; }
end_other_name() { exec {other}<&-; rm /run/xvda; }
keeps_working other_name /run/used.img 'is in use'

begin_swap() { mkswap -q $node 2>/dev/null || mkswap $node; swapon $node; }
use_swap() { grep -q nbd$number /proc/swaps; read_anew $node; }
end_swap() { swapoff $node; }
keeps_working swap /run/used.img 'used as swap'
`;

/** btrfs has device numbers of its own, and here the daemon does not even see the mount. */
export const BTRFS_ELSEWHERE = `
${KEEPS_WORKING}
truncate -s 128M /run/btrfs.img
mkfs.btrfs -q /run/btrfs.img
begin_btrfs() {
  rm -f /run/is-mounted
  unshare -m sh -c "mount -t btrfs $node /run/mnt && touch /run/is-mounted; exec sleep 1000" &
  elsewhere=$!
  is_mounted() { [ -e /run/is-mounted ]; }
  wait_until is_mounted
}
use_btrfs() { dd if=/dev/urandom of=/proc/$elsewhere/root/run/mnt/file bs=1M count=2 conv=fsync status=none; }
end_btrfs() { kill $elsewhere; wait $elsewhere || true; }
keeps_working btrfs /run/btrfs.img 'part of the btrfs file system'
`;

export const AUTOCLEAR_FOR_ANY_USER = `
truncate -s 16M /run/waits.img
attached /run/waits.img '"autoclear":true'
blkid $node || true
for i in 1 2 3 4 5 6 7 8 9 10; do blkid -p $node || true; done
say 'those who look are no users'
sleep 2
is_attached nbd$number
say 'a loop device of the kernel is one'
loop=$(losetup -f --show $node)
sleep 4
losetup -d $loop
is_cleared_within 2 nbd$number /run/waits.img
`;

export const PROBED = `
truncate -s 8M /run/probed.img
mkfs.ext4 -q -F /run/probed.img
for round in 1 2 3; do
  attached /run/probed.img
  ( while :; do blkid -p $node >/dev/null 2>&1 || true; done ) &
  prober=$!
  sleep 0.3
  api DELETE "/devices/$number/backing" >/run/answer
  cat /run/answer
  is_cleared_within 2 nbd$number /run/probed.img
  kill $prober
  wait $prober || true
done
say 'and by the tool'
attached /run/probed.img
( while :; do blkid -p $node >/dev/null 2>&1 || true; done ) &
prober=$!
nbdlosetup -d $node
is_cleared_within 2 nbd$number /run/probed.img
kill $prober
`;

export const PARTITIONS_ASKED_FOR = `
truncate -s 64M /run/table.img
printf 'label: gpt\\n,16M\\n,16M\\n' | sfdisk -q /run/table.img
partitions() { ls -d /sys/block/nbd$number/nbd\${number}p* 2>/dev/null | wc -l; }
say 'none without -P'
attached /run/table.img
[ "$(partitions)" = 0 ]
blkid $node || true
blockdev --getsize64 $node
[ "$(partitions)" = 0 ]
say 'also when the size changes'
truncate -s 80M /run/table.img
api POST "/devices/$number/capacity" >/dev/null
blockdev --getsize64 $node
[ "$(partitions)" = 0 ]
say 'those that somebody makes by hand are left alone'
partx -a --nr 1 $node
[ "$(partitions)" = 1 ]
truncate -s 96M /run/table.img
api POST "/devices/$number/capacity" >/dev/null
blockdev --getsize64 $node
[ "$(partitions)" = 1 ]
say 'with partscan they are there'
api PATCH "/devices/$number" '{"partscan":true}' >/dev/null
[ "$(partitions)" = 2 ]
say 'one in use keeps the table from being read, and somebody is told'
exec {open}<\${node}p1
printf 'label: gpt\\n,16M\\n,8M\\n,8M\\n' | sfdisk -q --wipe never --wipe-partitions never /run/table.img
if nbdlosetup -c $node 2>/run/error; then exit 1; fi
cat /run/error
grep -q "nbd\${number}p1 is open in process" /run/error # of ours: what we start has it open, too
say 'one who closes it in time does not'
exec {open}<&-
sleep 1 <\${node}p1 &
api POST "/devices/$number/capacity" >/dev/null
[ "$(partitions)" = 3 ]
[ "$(cat /sys/block/nbd$number/nbd\${number}p2/size)" = $((8 << 11)) ]
api DELETE "/devices/$number/backing"
is_cleared_within 2 nbd$number /run/table.img
`;

export const OTHERS_HAVE_SOME = `
nbdkit --unix /run/kit.sock memory 4M
for i in 0 1 2 4; do nbd-client -u /run/kit.sock /dev/nbd$i >/dev/null; done
truncate -s 4M /run/mine.img /run/second.img
devices() { api GET /devices | grep -o '"state"' | wc -l; }
before=$(devices)
[ "$(nbdlosetup -f)" = loop3 ]
[ "$(nbdlosetup -f --show /run/mine.img)" = /dev/nbd3 ]
attached /run/second.img
[ $node = /dev/nbd5 ]
say 'nothing is left behind but these two'
[ $(devices) -le $((before + 2)) ]
api DELETE /devices/3/backing
api DELETE /devices/5/backing
for i in 0 1 2 4; do nbd-client -d /dev/nbd$i >/dev/null; done
pkill -x nbdkit
`;

export const NODE_MISSING = `
truncate -s 16M /run/table2.img
printf 'label: dos\\n,4M\\n,4M\\n' | sfdisk -q /run/table2.img
rm /dev/nbd0
[ "$(nbdlosetup -P -f --show /run/table2.img)" = /dev/nbd0 ]
[ -b /dev/nbd0 ]
[ "$(blockdev --getsize64 /dev/nbd0)" = $((16 << 20)) ]
[ -b /dev/nbd0p2 ]
api DELETE /devices/0/backing
is_cleared_within 2 nbd0 /run/table2.img
say 'where it cannot be made, its number is told, and nothing stays behind'
rm /dev/nbd0
mkdir /dev/nbd0
if nbdlosetup -f /run/table2.img 2>/run/error; then exit 1; fi
cat /run/error
grep -q '43:0' /run/error
is_cleared_within 2 nbd0 /run/table2.img
rmdir /dev/nbd0
mknod /dev/nbd0 b 43 0
`;
