/**
 * Memory is short while a file system on a device is written to: the daemon, which its dirty pages go through, must not wait
 * for memory that only it can free. `npm run pressure` does it at length, in turns with the kernel's loop device.
 */
import { truncateSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { TempDir } from '../helpers/temp.js';
import { skipUnlessQemu } from '../vm/guest-available.js';
import { type GuestTest, guestTests } from '../vm/guest-tests.js';

/** Rounds at length; 0: once, and less of it. */
const ROUNDS = Number(process.env.NBDLOOP_PRESSURE ?? 0);
const MIB_WRITTEN = ROUNDS > 0 ? 600 : 250;
/** How often as long as the kernel's loop device ours may take. */
const MOST_TIMES = 3;
const LIMIT_MS = 900_000 + ROUNDS * 900_000;
t.setTimeout(LIMIT_MS + 60_000);

/**
 * `written DEVICE` makes an ext4 on it, mounts it, and has a file written to it while something else dirties memory as fast as
 * it gets any; sets `took`, milliseconds.
 */
const WRITTEN = `
eat() {
  python3 -c '
import time
memory = bytearray(150 << 20)
pages = len(memory) // 4096
print("eats", flush=True)
for round in range(1 << 30):
    memory[::4096] = bytes([round & 255]) * pages
    time.sleep(0.05)' >/run/eater 2>&1 &
  eater=$!
}
eats() { grep -q eats /run/eater; }
written() {
  mkfs.ext4 -q -F $1
  mount $1 /run/mnt
  eat
  wait_until eats
  sync
  local began=\${EPOCHREALTIME/./}
  dd if=/dev/zero of=/run/mnt/file bs=1M count=${MIB_WRITTEN} conv=fsync status=none
  took=$(((\${EPOCHREALTIME/./} - began) / 1000))
  [ "$(stat -c %s /run/mnt/file)" = $((${MIB_WRITTEN} << 20)) ]
  kill -KILL $eater
  wait $eater || true
  umount /run/mnt
}
by_loop() {
  truncate -s 900M /run/disk/a.img
  local device
  device=$(losetup -f --show /run/disk/a.img)
  written $device
  losetup -d $device
  rm /run/disk/a.img
  say "loop.ko: $took ms"
}
by_nbdloop() {
  truncate -s 900M /run/disk/a.img
  attached /run/disk/a.img
  all_flushers
  written $node
  all_flushers
  api DELETE "/devices/$number/backing"
  wait_until all_free
  rm /run/disk/a.img
  say "nbdloop: $took ms"
}
echo 60 >/proc/sys/kernel/hung_task_timeout_secs
mkdir /run/disk
mkfs.ext4 -q -F /dev/vda
mount /dev/vda /run/disk
`;

const ONCE: GuestTest = {
  title: 'a file system on a device is written to where memory is short: it goes on to the end',
  script: 'start_daemon; by_nbdloop; stop_daemon',
};

const AT_LENGTH: GuestTest = {
  title: `${MIB_WRITTEN} MiB, ${ROUNDS} times, each in at most ${MOST_TIMES} times what the kernel's loop device takes`,
  script: `for round in $(seq ${ROUNDS}); do by_loop; start_daemon; by_nbdloop; stop_daemon; done`,
  check: compare,
};

function compare(t: Test, output: string): void {
  const times = (who: string): number[] =>
    [...output.matchAll(new RegExp(`${who}: (\\d+) ms`, 'g'))].map(([, took]) => Number(took));
  const ours = times('nbdloop');
  const theirs = times('loop.ko');
  t.equal(ours.length, ROUNDS);
  for (const [round, took] of ours.entries()) {
    const beside = theirs[round] ?? 0;
    t.ok(took <= MOST_TIMES * beside, `round ${round + 1}: ${took} ms, loop.ko ${beside} ms`);
  }
}

const skip = await skipUnlessQemu('mkfs.ext4', 'curl', 'python3');
t.test('memory is short', { skip }, async (t) => {
  using files = new TempDir();
  const disk = files.file('disk');
  writeFileSync(disk, '');
  truncateSync(disk, 1200 << 20);
  await guestTests(t, [ROUNDS > 0 ? AT_LENGTH : ONCE], {
    before: WRITTEN,
    memoryMiB: 448,
    timeoutMs: LIMIT_MS,
    disks: [{ file: disk, drive: { cache: 'unsafe' } }],
  });
});
