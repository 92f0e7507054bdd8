import t from 'tap';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';

t.setTimeout(1_600_000);

const NOT_ROOT: GuestTest = {
  title: 'without root everything but the kernel works',
  script: `
mkdir -p /run/user
chown 65534:65534 /run/user
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env XDG_RUNTIME_DIR=/run/user NBDLOOP_CONTROL=)
for image in disk second; do
  truncate -s 16M /run/user/$image.img
  chown 65534:65534 /run/user/$image.img
done
"\${nobody[@]}" "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --device /run/user/disk.img >>/run/daemon.log 2>&1 &
daemon=$!
wait_until is_serving
[ "$(stat -c %a /run/user/nbdloop/control.sock)" = 600 ]
if "\${nobody[@]}" "$NODE" "$NBDLOOP_PROGRAMS/nbdloop.js" attach loop0 2>/run/error; then exit 1; fi
cat /run/error
grep -q EPERM /run/error
shown=$("\${nobody[@]}" "$NODE" "$NBDLOOP_PROGRAMS/nbdlosetup.js" -f --show /run/user/second.img)
echo "$shown" | grep -q '^nbd+unix:///loop1?socket=/run/user/nbdloop/'
say 'a file that nobody may read'
touch /run/secret
chmod 600 /run/secret
if "\${nobody[@]}" "$NODE" "$NBDLOOP_PROGRAMS/nbdlosetup.js" -f --show /run/secret 2>/run/error; then exit 1; fi
grep -q EBADF /run/error
stop_daemon
`,
};

/** The last test of its guest: it takes the module away. */
const NO_MODULE: GuestTest = {
  title: 'without the nbd module a device is served and the reason is told',
  script: `
rmmod nbd
[ ! -e /dev/nbd0 ]
[ ! -d /lib/modules ] || mount -t tmpfs none /lib/modules
say 'the module is gone'
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
`,
};

const noQemu = await skipUnlessQemu('setpriv');

t.test('what works without root, and without the module', { skip: noQemu }, (t) =>
  guestTests(t, [NOT_ROOT, NO_MODULE], { nbd: { nbdsMax: 2 } }),
);
