/** A disk that writes 1 MB a second: what is only slow ends well, and a timeout that was asked for ends in an error. */
import { truncateSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { TempDir } from '../helpers/temp.js';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';

t.setTimeout(1_000_000);
const MB = 1_000_000;

/** `written` prints what the disk took so far, in MiB. */
const DISK = `
written() {
  local stat
  read -ra stat </sys/block/vda/stat
  echo $((stat[6] / 2048))
}
`;

const DEFAULTS: GuestTest = {
  title: '40 MiB and fsync, with the defaults: done, written once, and the file system over it is clean',
  script: `
before=$(written)
[ "$(nbdlosetup -f --show /dev/vda)" = /dev/nbd0 ]
[ "$(</sys/block/nbd0/queue/io_timeout)" = 5000 ]
say 'written at once, and made durable behind it: longer than any timeout there was'
dd if=/dev/zero of=/dev/nbd0 bs=1M count=40 oflag=direct conv=fsync status=none
say "the disk took $(($(written) - before)) MiB"
[ $(($(written) - before)) -lt 48 ]
mkfs.ext4 -q -F -E lazy_itable_init=0 /dev/nbd0 24M
mount /dev/nbd0 /run/mnt
dd if=/dev/zero of=/run/mnt/file bs=1M count=8 conv=fsync status=none
umount /run/mnt
e2fsck -fn /dev/nbd0
nbdlosetup -d /dev/nbd0
`,
  unheardOf: /nbd0: (Connection timed out|Receive control failed)|I\/O error/i,
};

const GIVEN_UP: GuestTest = {
  title: 'what takes longer than a timeout that was given is sent again three times, then EIO',
  provoked: [/nbd0: (Connection timed out|Receive control failed|Send)/i, /I\/O error.* nbd0/i],
  script: `
nbdlosetup --no-attach -f /dev/vda
[ "$(nbdloop attach loop0 --timeout 2)" = /dev/nbd0 ]
before=$(written)
if dd if=/dev/zero of=/dev/nbd0 bs=1M count=24 conv=fsync status=none 2>/run/error; then exit 1; fi
grep -qi 'input/output error' /run/error
say "the disk took $(($(written) - before)) MiB"
grep 'took longer than the timeout' /run/daemon.log
nbdlosetup -d /dev/nbd0
`,
};

const skip = await skipUnlessQemu('mkfs.ext4', 'e2fsck');
t.test('a disk of 1 MB a second', { skip }, async (t) => {
  using files = new TempDir();
  const disk = files.file('disk');
  writeFileSync(disk, '');
  truncateSync(disk, 192 << 20);
  await guestTests(t, [DEFAULTS, GIVEN_UP], {
    before: `${DISK}\nstart_daemon`,
    after: 'kill -TERM $daemon; wait $daemon',
    modules: ['virtio_blk'],
    disks: [
      {
        file: disk,
        drive: {
          cache: 'none',
          aio: 'threads',
          'throttling.bps-write': MB,
          'throttling.bps-write-max': MB,
        },
      },
    ],
  });
});
