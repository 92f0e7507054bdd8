/** A mounted device whose file gets another name, none, or a name that another file has by now, while the daemon changes. */
import type { GuestTest } from './guest-tests.js';
import { WITHOUT_DAEMON } from './restart-scripts.js';

/**
 * `make_fs FILE LABEL SIZE`; `label` of what /dev/nbd0 is now; `begin_mounted` binds /run/a.img (AAA) and mounts it;
 * `still_mounted` fails unless the file system under the mount is the one that was made, and takes another write.
 * The state has a file system of its own, which can be filled.
 */
export const FILE_SYSTEMS = `
mkdir -p /run/state
mount -t tmpfs -o size=64k,mode=0700 tmpfs /run/state
make_fs() {
  truncate -s $3 "$1"
  mkfs.ext4 -q -F -L $2 "$1"
}
label() { dd if=/dev/nbd0 bs=4096 count=1 iflag=direct status=none | dd bs=1 skip=1144 count=3 status=none; }
begin_mounted() {
  make_fs /run/a.img AAA 16M
  attached /run/a.img '' '"deadTimeout":600'
  mount /dev/nbd0 /run/mnt
  echo hi >/run/mnt/x
  sync -f /run/mnt
  exec 9</run/a.img
}
still_mounted() {
  [ "$(label)" = AAA ]
  echo 3 >/proc/sys/vm/drop_caches
  [ "$(cat /run/mnt/x)" = hi ]
  head -c 1M /dev/urandom >"/run/mnt/$1"
  sync -f /run/mnt
}
end_mounted() {
  umount /run/mnt
  api DELETE "/devices/$number/backing"
  wait_until all_free
  e2fsck -fn /proc/self/fd/9
  exec 9<&-
}
`;

export const HANDED_OVER: GuestTest = {
  title:
    'a daemon that takes over serves the open file on under a mounted file system, whatever has its name',
  script: `
find_daemon --handover
begin_mounted
make_fs /run/b.img BBB 16M
cp /run/b.img /run/b.orig
say 'another file is moved to its name'
mv /run/b.img /run/a.img
take_over
still_mounted moved
cmp /run/a.img /run/b.orig
say 'a shorter file has its name'
rm /run/a.img
make_fs /run/a.img CCC 8M
cp /run/a.img /run/c.orig
take_over
still_mounted shorter
cmp /run/a.img /run/c.orig
[ -z "$(nbdloop status | grep 'not brought back')" ]
end_mounted
cmp /run/a.img /run/c.orig
rm /run/*.img /run/*.orig
leave_daemon
`,
};

export const CRASHED: GuestTest = {
  title:
    'after a crash another file of the name is not put under a mounted file system, and the right one can be',
  script: `
find_daemon
begin_mounted
make_fs /run/b.img BBB 16M
cp /run/b.img /run/b.orig
mv /run/a.img /run/elsewhere.img
mv /run/b.img /run/a.img
crash_daemon
start_daemon
nbdloop status | tee /run/status
grep -q 'loop0 was not brought back (the kernel still has /dev/nbd0): /run/a.img: .*meant is inode' /run/status
if nbdloop detach loop0; then say 'a device that is mounted was given up'; exit 1; fi
say 'a write waits meanwhile'
head -c 1M /dev/urandom >/run/mnt/waiting
sync -f /run/mnt &
writer=$!
[ "$(nbdloop recover loop0 --file /run/elsewhere.img)" = /dev/nbd0 ]
wait $writer
still_mounted recovered
cmp /run/a.img /run/b.orig
end_mounted
cmp /run/a.img /run/b.orig
rm /run/*.img /run/*.orig
leave_daemon
`,
  provoked: WITHOUT_DAEMON,
};

export const LEFT_DOWN: GuestTest = {
  title: 'a device that is down and open in the kernel is not detached, and given up at its last close',
  script: `
start_daemon
truncate -s 16M /run/a.img
cp /run/a.img /run/b.img
bind_and_lose() {
  nbdlosetup --no-attach -f /run/a.img
  [ "$(nbdloop attach loop0 --dead-timeout 600)" = /dev/nbd0 ]
  exec 8</dev/nbd0
  mv /run/a.img /run/elsewhere.img
  crash_daemon
  start_daemon
}
bind_and_lose
if nbdloop detach loop0 2>/run/error; then say 'a device that is open was detached'; exit 1; fi
cat /run/error
grep '/dev/nbd0 is in use (.*EBUSY' /run/error
nbdlosetup -d loop0
nbdloop status | grep 'loop0 was not brought back (the kernel still has /dev/nbd0)'
exec 8<&-
wait_until is_free nbd0
is_given_up() { ! nbdloop status | grep -q 'not brought back'; }
wait_until is_given_up
say 'by force it leaves the kernel, and stays down; then it can be given up'
mv /run/elsewhere.img /run/a.img
bind_and_lose
nbdloop detach loop0 --force
nbdloop status | grep 'loop0 was not brought back: '
exec 8<&-
nbdlosetup -d loop0
is_given_up
say 'a file of another size comes under a device that the kernel has kept'
mv /run/elsewhere.img /run/a.img
nbdlosetup --no-attach -f /run/a.img
nbdloop attach loop0
nbdlosetup -d loop0 --force
truncate -s 32M /run/a.img
curl -sS --fail-with-body --unix-socket $NBDLOOP_CONTROL -X PUT -H 'content-type: application/json' \\
  -d '{"file": "/run/a.img"}' http://localhost/devices/0/backing
[ "$(sectors nbd0)" = 65536 ]
nbdlosetup -d loop0
wait_until all_free
stop_daemon
rm /run/*.img
`,
};

export const FULL: GuestTest = {
  title: 'with no room for the state, no device is served with another file after a crash',
  script: `
find_daemon
make_fs /run/b.img AAA 16M
mv /run/b.img /run/first.img
attached /run/first.img
cp /run/first.img /run/first.orig
dd if=/dev/zero of=/run/state/fill bs=4k 2>/dev/null || true
api DELETE "/devices/$number/backing"
wait_until all_free
begin_mounted
crash_daemon
rm /run/state/fill
start_daemon
still_mounted crashed
end_mounted
cmp /run/first.img /run/first.orig
rm /run/*.img /run/*.orig
stop_daemon
`,
  provoked: WITHOUT_DAEMON,
};
