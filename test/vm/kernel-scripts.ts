/** What a guest with a daemon of its own does with devices that are attached by netlink. */

/** Functions that the scripts below share. */
export const KERNEL_FUNCTIONS = `
backing_file() { nbdlosetup -n -O BACK-FILE --raw "$1" 2>/dev/null || true; }
is_cleared() { is_free "$1" && [ -z "$(backing_file "$1")" ]; }
sectors() { cat "/sys/block/$1/size"; }
all_free() { for pid in /sys/block/nbd*/pid; do [ ! -e "$pid" ] || return 1; done; }
verify_writes() {
  fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --rw=randwrite --bsrange=4k-64k \\
    --iodepth=16 --size=32m --time_based --runtime="$1" --rate_iops=200 --eta=never --verify=crc32c \\
    --verify_backlog=128 --verify_fatal=1 --verify_state_save=0 --output-format=json --output=/run/fio.json
}
longest_write() {
  "$NODE" -p 'const [job] = JSON.parse(require("fs").readFileSync("/run/fio.json")).jobs;
    if (job.error !== 0) throw new Error("fio: error " + job.error);
    Math.ceil(job.write.clat_ns.max / 1e6) + " ms"'
}
# A second daemon takes over from the first one, which ends well.
take_over() {
  local before=$daemon
  "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --state-dir /run/state --handover >>/run/daemon.log 2>&1 &
  daemon=$!
  wait $before
  wait_until nbdloop status >/dev/null
}
`;

export const ATTACH = `
start_daemon
truncate -s 64M /run/disk.img
say 'by netlink, over four sockets'
nbdlosetup --no-attach -f /run/disk.img
[ "$(nbdloop attach loop0 --connections 4)" = /dev/nbd0 ]
grep -q '^nbdloop:[0-9a-f]*:loop0$' /sys/block/nbd0/backend
[ "$(sectors nbd0)" = $((64 << 11)) ]
nbdloop status --json | grep -q '"openers": 4'
verify_writes 5
longest_write
dd if=/dev/urandom of=/run/random bs=1M count=16 status=none
dd if=/run/random of=/dev/nbd0 bs=1M oflag=direct status=none
cmp -n $((16 << 20)) /run/random /run/disk.img
nbdloop detach loop0
is_free nbd0
say 'by nbd-client'
nbdloop attach loop0 --by nbd-client
cmp -n $((16 << 20)) /run/random /dev/nbd0
nbdloop detach loop0
wait_until is_free nbd0
nbdlosetup -d loop0
say 'sixteen devices at once'
for i in $(seq 16); do
  truncate -s $((i + 4))M /run/many.$i
  echo "content $i" | dd of=/run/many.$i conv=notrunc status=none
done
for i in $(seq 16); do nbdlosetup -f --show /run/many.$i >/run/node.$i & done
for job in $(jobs -p); do [ $job = $daemon ] || wait $job; done
for i in $(seq 16); do
  [ "$(head -c 30 "$(cat /run/node.$i)" | head -1)" = "content $i" ]
  [ "$(sectors "$(basename "$(cat /run/node.$i)")")" = $(((i + 4) << 11)) ]
done
[ "$(sort -u /run/node.* | wc -l)" = 16 ]
nbdlosetup -D
wait_until all_free
stop_daemon
`;

export const LAST_CLOSE = `
start_daemon
truncate -s 64M /run/disk.img
mkfs.ext4 -q /run/disk.img
say 'nbdloop mount, looked at by probers, and umount'
nbdloop mount -o noatime /run/disk.img /run/mnt
grep -q '^/dev/nbd0 /run/mnt ext4 .*noatime' /proc/mounts
blkid /dev/nbd0
blockdev --getsize64 /dev/nbd0
echo hello >/run/mnt/file
if nbdloop detach loop0 2>/run/error; then exit 1; fi
grep -q EBUSY /run/error
umount /run/mnt
wait_until is_cleared nbd0
say 'a file that is no file system leaves nothing behind'
truncate -s 1M /run/nothing.img
if nbdloop mount /run/nothing.img /run/mnt 2>/run/error; then exit 1; fi
wait_until is_cleared nbd0
say 'nbdlosetup -d of a mounted device is lazy'
[ "$(nbdlosetup -f --show /run/disk.img)" = /dev/nbd0 ]
mount /dev/nbd0 /run/mnt
nbdlosetup -d /dev/nbd0
[ "$(cat /run/mnt/file)" = hello ]
[ "$(nbdlosetup -n -O AUTOCLEAR --raw /dev/nbd0)" = 1 ]
umount /run/mnt
wait_until is_cleared nbd0
say 'an autoclear device waits for its user, whoever looks at it before'
curl -sf --unix-socket "$NBDLOOP_CONTROL" -H 'content-type: application/json' \\
  -d '{"file":"/run/disk.img","autoclear":true}' http://localhost/devices/find >/run/found
nbdloop attach loop0
blkid /dev/nbd0
blkid -p /dev/nbd0
is_attached nbd0
mount /dev/nbd0 /run/mnt
sleep 3
umount /run/mnt
wait_until is_cleared nbd0
stop_daemon
`;

export const RESIZE = `
start_daemon
truncate -s 64M /run/disk.img
mkfs.ext4 -q /run/disk.img
[ "$(nbdlosetup -f --show /run/disk.img)" = /dev/nbd0 ]
mount /dev/nbd0 /run/mnt
say 'grown while it is mounted'
truncate -s 128M /run/disk.img
nbdlosetup -c /dev/nbd0
[ "$(sectors nbd0)" = $((128 << 11)) ]
resize2fs /dev/nbd0
[ "$(df --output=size -m /run/mnt | tail -1)" -gt 100 ]
umount /run/mnt
fsck.ext4 -f -n /dev/nbd0
say 'not shrunk while it is mounted'
mount -o ro /dev/nbd0 /run/mnt
truncate -s 64M /run/disk.img
if nbdlosetup -c /dev/nbd0 2>/run/error; then exit 1; fi
grep -q EBUSY /run/error
[ "$(sectors nbd0)" = $((128 << 11)) ]
truncate -s 128M /run/disk.img
umount /run/mnt
truncate -s 32M /run/disk.img
nbdlosetup -c /dev/nbd0
[ "$(sectors nbd0)" = $((32 << 11)) ]
nbdlosetup -d /dev/nbd0
say 'partitions'
truncate -s 64M /run/parted.img
printf 'label: dos\\n,16M\\n,16M\\n' | sfdisk -q /run/parted.img
[ "$(nbdlosetup -P -f --show /run/parted.img)" = /dev/nbd0 ]
[ -b /dev/nbd0p2 ]
[ ! -e /dev/nbd0p3 ]
printf 'label: dos\\n,16M\\n,8M\\n,8M\\n' | sfdisk -q /run/parted.img
truncate -s 128M /run/parted.img
nbdlosetup -c /dev/nbd0
[ "$(cat /sys/block/nbd0/nbd0p3/size)" = $((8 << 11)) ]
nbdlosetup -d /dev/nbd0
all_free
stop_daemon
`;

/** ROUNDS: how often; the environment sets it. TIMEOUT is short, as what was in flight is sent again after it. */
export const CRASHES = `
start_daemon
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2 --timeout 2 --dead-timeout 120
verify_writes $((ROUNDS * SECONDS_A_ROUND)) & fio=$!
for round in $(seq $ROUNDS); do
  sleep 3
  say "round $round: SIGKILL"
  crash_daemon
  start_daemon
done
wait $fio
longest_write
nbdlosetup -d /dev/nbd0
all_free
stop_daemon
`;

export const HANDOVERS = `
start_daemon --handover
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2
verify_writes $((ROUNDS * SECONDS_A_ROUND)) & fio=$!
for round in $(seq $ROUNDS); do
  sleep 2
  say "round $round: handover"
  take_over
done
say 'SIGTERM, and a daemon that starts afterwards'
stop_daemon
start_daemon
wait $fio
longest_write
nbdlosetup -d /dev/nbd0
all_free
stop_daemon
`;

export const TWO_DAEMONS = `
start_daemon
truncate -s 16M /run/disk.img
[ "$(nbdlosetup -f --show /run/disk.img)" = /dev/nbd0 ]
say 'the state directory and the file are not for another daemon'
other() { "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --control /run/other.sock --unix /run/other.nbd "$@"; }
if other --state-dir /run/state 2>/run/error; then exit 1; fi
cat /run/error
grep -q "EBUSY" /run/error
grep -q "process $daemon" /run/error
if other --state-dir /run/other --device /run/disk.img 2>/run/error; then exit 1; fi
cat /run/error
grep -q "process $daemon" /run/error
grep -q /run/disk.img /run/error
nbdlosetup -d /dev/nbd0
stop_daemon
`;
