/**
 * A disk that writes 1 MB a second, and devices with limits: what is only slow ends well, and a timeout that was asked for ends in an
 * error. NBDLOOP_LIMITED_SECONDS: for how long requests wait for limits.
 */
import { truncateSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { TempDir } from '../helpers/temp.js';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';
import { limitTests } from './limit-scripts.js';

t.setTimeout(1_600_000);
const MB = 1_000_000;
const LIMITED_SECONDS = Number(process.env.NBDLOOP_LIMITED_SECONDS ?? 20);

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
say 'what may have to be written where memory is short is written by threads that never wait for it'
all_flushers
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

/** Milliseconds, of the longest. */
const LONGEST = /longest answer: (\d+) ms/;

const OTHERS: GuestTest = {
  title:
    'beside a disk that is busy for long another device and the control API answer, whatever is asked of it',
  script: `
ask() { curl -sS --fail-with-body --unix-socket $NBDLOOP_CONTROL "$@" >/dev/null; }
truncate -s 16M /run/good.img
[ "$(nbdlosetup -f --show /dev/vda)" = /dev/nbd0 ]
[ "$(nbdlosetup -f --show /run/good.img)" = /dev/nbd1 ]
dd if=/dev/zero of=/dev/nbd0 bs=1M count=16 oflag=direct conv=fsync status=none &
writer=$!
dd if=/dev/nbd0 of=/dev/null bs=64k count=4 skip=800 iflag=direct status=none &
blkdiscard -o 64M -l 4M /dev/nbd0 &
ask -X POST http://localhost/devices/0/capacity &
ask -X PUT -H 'content-type: application/json' -d '{"on":true}' http://localhost/devices/0/direct-io &
longest=0
answers=0
while kill -0 $writer 2>/dev/null; do
  began=\${EPOCHREALTIME/./}
  dd if=/dev/nbd1 of=/dev/null bs=4k count=1 iflag=direct status=none
  dd if=/dev/zero of=/dev/nbd1 bs=4k count=1 oflag=direct conv=fsync status=none
  ask http://localhost/devices
  ask http://localhost/devices/0
  took=$(((\${EPOCHREALTIME/./} - began) / 1000))
  [ $took -le $longest ] || longest=$took
  answers=$((answers + 1))
  pause
done
wait
say "longest answer: $longest ms of $answers"
[ $answers -gt 1 ]
nbdlosetup -d /dev/nbd0 /dev/nbd1
wait_until all_free
rm /run/good.img
`,
  unheardOf: /nbd\d: (Connection timed out|Receive control failed)|I\/O error/i,
  // Four programs are started for each answer, in an emulated machine.
  check: (t, output) => t.ok(Number(LONGEST.exec(output)?.[1]) < 15_000, output),
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
  await guestTests(t, [DEFAULTS, OTHERS, GIVEN_UP, ...limitTests(LIMITED_SECONDS)], {
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
