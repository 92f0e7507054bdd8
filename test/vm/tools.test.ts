import t from 'tap';
import { skipUnlessUml } from './guest-available.js';
import { succeeds } from './guest-succeeds.js';

t.setTimeout(600_000);

const LIKE_LOSETUP = `
start_daemon
truncate -s 64M /run/disk.img
say 'nbdlosetup -f --show attaches and prints the node'
node=$(nbdlosetup -f --show /run/disk.img)
[ "$node" = /dev/nbd0 ]
[ "$(blockdev --getsize64 $node)" = $((64 << 20)) ]
nbdlosetup -l
[ "$(nbdlosetup -n -O NAME,BACK-FILE --raw)" = '/dev/nbd0 /run/disk.img' ]
mkfs.ext4 -q $node
mount $node /run/mnt
echo hello >/run/mnt/file
say 'a second file becomes a second node'
truncate -s 8M /run/other.img
[ "$(nbdlosetup -f --show -r /run/other.img)" = /dev/nbd1 ]
[ "$(blockdev --getro /dev/nbd1)" = 1 ]
umount /run/mnt
say 'nbdlosetup -d lets both go'
nbdlosetup -d /dev/nbd0 /dev/nbd1
wait_until is_free nbd0
wait_until is_free nbd1
[ -z "$(nbdlosetup -n -O NAME --raw)" ]
stop_daemon
mount -o loop,ro /run/disk.img /run/mnt
[ "$(cat /run/mnt/file)" = hello ]
umount /run/mnt
`;

t.test(
  'as root with the nbd module, nbdlosetup works as losetup does',
  { skip: skipUnlessUml('nbd-client', 'mkfs.ext4') },
  (t) => succeeds(t, LIKE_LOSETUP, { kernel: 'uml' }),
);

const ATTACH_DETACH = `
start_daemon
truncate -s 16M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
is_free nbd0
[ "$(nbdloop attach loop0 --by nbd-client)" = /dev/nbd0 ]
is_attached nbd0
say 'an attached device is not attached again'
if nbdloop attach loop0 2>/run/error; then exit 1; fi
grep -q EBUSY /run/error
[ "$(wc -l </run/error)" = 1 ]
dd if=/dev/zero of=/dev/nbd0 bs=1M count=1 oflag=direct status=none
nbdloop detach loop0
wait_until is_free nbd0
say 'detached from the kernel, it is still bound'
[ "$(nbdlosetup -n -O BACK-FILE --raw loop0)" = /run/disk.img ]
stop_daemon
`;

t.test('nbdloop attaches and detaches through nbd-client', { skip: skipUnlessUml('nbd-client') }, (t) =>
  succeeds(t, ATTACH_DETACH, { kernel: 'uml' }),
);

const NO_MODULE = `
[ ! -e /dev/nbd0 ]
start_daemon
truncate -s 16M /run/disk.img
say 'without the module the URI is what one gets'
shown=$(nbdlosetup -f --show /run/disk.img)
echo "$shown" | grep -q '^nbd+unix:///loop0?socket='
say 'and attach says why it cannot'
if nbdloop attach loop0 2>/run/error; then exit 1; fi
cat /run/error
grep -q ENODEV /run/error
grep -q 'nbd module' /run/error
stop_daemon
`;

t.test('without the nbd module a device is served and the reason is told', { skip: skipUnlessUml() }, (t) =>
  succeeds(t, NO_MODULE, { kernel: 'uml', nbd: false }),
);

const NOT_ROOT = `
mkdir -p /run/user
chown 65534:65534 /run/user
say 'as nobody'
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env XDG_RUNTIME_DIR=/run/user NBDLOOP_CONTROL=)
truncate -s 16M /run/user/disk.img
chown 65534:65534 /run/user/disk.img
"\${nobody[@]}" "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --device /run/user/disk.img >/run/daemon.log 2>&1 &
daemon=$!
wait_until test -S /run/user/nbdloop/control.sock
[ "$(stat -c %a /run/user/nbdloop/control.sock)" = 600 ]
if "\${nobody[@]}" "$NODE" "$NBDLOOP_PROGRAMS/nbdloop.js" attach loop0 2>/run/error; then exit 1; fi
cat /run/error
grep -q EPERM /run/error
truncate -s 8M /run/user/second.img
chown 65534:65534 /run/user/second.img
shown=$("\${nobody[@]}" "$NODE" "$NBDLOOP_PROGRAMS/nbdlosetup.js" -f --show /run/user/second.img)
echo "$shown" | grep -q '^nbd+unix:///loop1?socket=/run/user/nbdloop/'
say 'a file that nobody may read'
touch /run/secret
chmod 600 /run/secret
if "\${nobody[@]}" "$NODE" "$NBDLOOP_PROGRAMS/nbdlosetup.js" -f --show /run/secret 2>/run/error; then exit 1; fi
grep -q EBADF /run/error
stop_daemon
`;

t.test('without root everything but the kernel works', { skip: skipUnlessUml() }, (t) =>
  succeeds(t, NOT_ROOT, { kernel: 'uml' }),
);
