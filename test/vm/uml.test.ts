import { resolve } from 'node:path';
import t from 'tap';
import { TempDir } from '../helpers/temp.js';
import { runGuest } from './guest.js';
import { skipUnlessUml } from './guest-available.js';
import { kernelComplaints } from './kernel-log.js';

t.setTimeout(300_000);

/** The daemon, nbd-client, a file system and fio, all in one small guest: nothing leaves it. */
const SCRIPT = `
truncate -s 64M /run/disk.img
node "$DAEMON" --listen none --unix /run/nbd.sock --control /run/control.sock --state-dir /run/state \\
  --device /run/disk.img >/run/daemon.log 2>&1 &
daemon=$!
trap 'cat /run/daemon.log' EXIT
for try in $(seq 300); do [ -S /run/nbd.sock ] && break; sleep 0.1; done
nbd-client -unix /run/nbd.sock /dev/nbd0 -name loop0
[ "$(blockdev --getsize64 /dev/nbd0)" = $((64 << 20)) ]
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 /run/mnt
dd if=/dev/urandom of=/run/mnt/file bs=1M count=8 status=none
sum=$(sha256sum </run/mnt/file)
umount /run/mnt
nbd-client -d /dev/nbd0
for try in $(seq 100); do [ -e /sys/block/nbd0/pid ] || break; sleep 0.1; done
kill -TERM $daemon
wait $daemon
trap - EXIT
fsck.ext4 -f -n /run/disk.img
mount -o loop,ro /run/disk.img /run/mnt
[ "$sum" = "$(sha256sum </run/mnt/file)" ]
umount /run/mnt
`;

t.test(
  'a file system goes through nbd-client and the daemon in one guest',
  { skip: skipUnlessUml('nbd-client', 'mkfs.ext4') },
  async (t) => {
    using shared = new TempDir();
    const guest = await runGuest(shared, {
      kernel: 'uml',
      script: SCRIPT,
      timeoutMs: 120_000,
      environment: { DAEMON: resolve('dist/bin/nbdloopd.js') },
    });
    t.equal(guest.status, 0, 'exit status of the guest', { console: guest.console });
    t.strictSame(kernelComplaints(guest.kernelLog), []);
  },
);
