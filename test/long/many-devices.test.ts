/**
 * Many attached devices at once: after a crash and a restart they are served again, and those that can't be are in nobody's
 * way. NBDLOOP_MANY=100 for more of them.
 */
import t from 'tap';
import { skipUnlessQemu } from '../vm/guest-available.js';
import { type GuestTest, guestTests } from '../vm/guest-tests.js';

t.setTimeout(1_600_000);
const DEVICES = Number(process.env.NBDLOOP_MANY ?? 24);

/** The first three stand on a file that is locked, on one that is gone, and on a file system that is frozen. */
const AGAIN: GuestTest = {
  title: `${DEVICES} devices are served again after a crash and after a restart; a file that is locked, gone or frozen delays no other`,
  script: `
mkdir /run/files /run/bad
truncate -s 64M /run/bad.img
bad_disk=$(losetup -f --show /run/bad.img)
mkfs.ext4 -q -F $bad_disk
mount $bad_disk /run/bad
for i in $(seq 0 ${DEVICES - 1}); do
  file=/run/files/$i
  [ $i != 2 ] || file=/run/bad/2
  truncate -s 1M $file
  attached $file '' '"deadTimeout":300'
  [ $number = $i ]
  dd if=/dev/urandom of=$node bs=4k count=1 oflag=direct status=none
done
say 'all are attached'
lock_first() {
  python3 -c '
import fcntl, struct, sys, time
file = open(sys.argv[1], "r+b")
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0x6e62646c6f6f70, 1, 0))
print("locked", flush=True)
time.sleep(3600)' /run/files/0 >/run/locker &
  locker=$!
  wait_until grep -q locked /run/locker
}
# Milliseconds from the start of the daemon to the last device that the kernel has sockets for again, as lines of its log tell.
served_again() {
  wait_until all_but_some "$2" $3
  local last
  last=$(grep -F "$2" /run/daemon.log | tail -n 1 | sed 's/.*"time":\\([0-9]*\\).*/\\1/')
  say "$1: the daemon greeted after $((served - began)) ms, the kernel had the last device again after $((last - began)) ms"
}
all_but_some() { [ $(grep -cF "$1" /run/daemon.log) -ge $((${DEVICES} - $2)) ]; }
each_is_whole() {
  for i in $(seq 3 ${DEVICES - 1}); do
    timeout 120 cmp -n 4096 /run/files/$i <(dd if=/dev/nbd$i bs=4k count=1 iflag=direct status=none)
  done
}
now() { echo $((\${EPOCHREALTIME/./} / 1000)); }
again() {
  : >/run/daemon.log
  began=$(now)
  "$1"
  served=$(now)
}
crash_daemon
mv /run/files/1 /run/gone
lock_first
fsfreeze -f /run/bad
again start_daemon
served_again 'after kill -9' ': dead sockets replaced' 3
each_is_whole
fsfreeze -u /run/bad
kill -KILL $locker
wait $locker || true
mv /run/gone /run/files/1
nbdloop recover loop0
nbdloop recover loop1
cmp -n 4096 /run/files/1 <(dd if=/dev/nbd1 bs=4k count=1 iflag=direct status=none)
say 'restarted'
again take_over
served_again 'by a handover' ' goes on' 0
each_is_whole
nbdlosetup -D
wait_until all_free
umount /run/bad
losetup -d $bad_disk
rm -r /run/files
kill -TERM $daemon
wait $daemon
`,
  provoked: [/blocked for more than/],
  unheardOf: /I\/O error/i,
};

const skip = await skipUnlessQemu('mkfs.ext4', 'fsfreeze', 'curl', 'python3');
t.test('many devices', { skip }, (t) =>
  guestTests(t, [AGAIN], { before: 'start_daemon', nbd: { nbdsMax: 128, maxPart: 0 } }),
);
