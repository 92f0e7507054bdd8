import t, { type Test } from 'tap';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';

/** Rounds a test: NBDLOOP_ROUNDS=10 for the long run. */
const ROUNDS = Number(process.env.NBDLOOP_ROUNDS ?? 2);
/** A request waits for so long at most while one daemon takes over from another, milliseconds. */
const LONGEST_IN_HANDOVER = 2000;
const TIMEOUT_MS = 240_000 + ROUNDS * 90_000;

t.setTimeout(TIMEOUT_MS + 60_000);

/**
 * fio writes at random to loop0 and verifies every block again, from `begin_fio` to `end_fio`, which fails for any
 * error and prints the longest write. `has_progressed` holds once a good number of writes went through.
 */
const UNDER_FIO = `
begin_fio() {
  fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --rw=randwrite --bsrange=4k-64k \\
    --iodepth=16 --size=32m --time_based --runtime=1d --rate_iops=150 --eta=never --verify=crc32c \\
    --verify_backlog=64 --verify_fatal=1 --verify_state_save=0 --output-format=json --output=/run/fio.json &
  fio=$!
  note_progress
  wait_until has_progressed
}
count_writes() { read -r _ _ _ _ writes _ </sys/block/nbd0/stat; }
note_progress() {
  count_writes
  noted=$writes
}
has_progressed() {
  kill -0 $fio || exit 1
  count_writes
  [ $writes -gt $((noted + 100)) ]
}
end_fio() {
  kill -TERM $fio
  wait $fio || [ $? = 128 ] # what it says when it was asked to end
  "$NODE" -e '
    const text = require("fs").readFileSync("/run/fio.json", "utf8");
    const [job] = JSON.parse(text.slice(text.indexOf("{"))).jobs;
    console.log("fio: error " + job.error + ", " + job.write.total_ios + " writes");
    console.log("longest write: " + Math.ceil(job.write.clat_ns.max / 1e6) + " ms");
    process.exit(job.error === 0 && job.read.total_ios > 0 ? 0 : 1);
  '
}
end_device() {
  nbdlosetup -d /dev/nbd0
  wait_until all_free
  stop_daemon
}
`;

const longestWrite = (output: string): number => Number(/longest write: (\d+) ms/.exec(output)?.[1]);
const tellLongest = (t: Test, output: string): void => {
  t.comment(`longest write: ${longestWrite(output)} ms`);
};

const CRASHES: GuestTest = {
  title: `SIGKILL and restart under fio, ${ROUNDS} times: no error, nothing lost`,
  script: `
start_daemon
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2 --timeout 5 --dead-timeout 120
begin_fio
for round in $(seq $ROUNDS); do
  say "round $round"
  crash_daemon
  start_daemon
  note_progress
  wait_until has_progressed
done
end_fio
[ "$(nbdlosetup -n -O NAME,BACK-FILE --raw)" = '/dev/nbd0 /run/disk.img' ]
end_device
`,
  check: tellLongest,
};

/** What a dead or silent connection has the kernel say. */
const LOST_SOCKET = /nbd0: (Receive control failed|Connection timed out|Send (control|data) failed|.*dead)/i;

const HANDOVERS: GuestTest = {
  title: `a daemon takes over from another under fio, ${ROUNDS} times: no socket dies, no request waits long`,
  script: `
start_daemon --handover
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2
begin_fio
for round in $(seq $ROUNDS); do
  say "round $round"
  take_over
  note_progress
  wait_until has_progressed
done
end_fio
end_device
`,
  unheardOf: LOST_SOCKET,
  check: (t, output) => {
    tellLongest(t, output);
    t.ok(longestWrite(output) < LONGEST_IN_HANDOVER, 'the longest write took less than two seconds');
  },
};

const TIMED_OUT: GuestTest = {
  title: 'sockets that time out while no daemon has them, or while it is stopped, are replaced',
  script: `
start_daemon --handover
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2 --timeout 2 --dead-timeout 120
mark_log() { mark=$(dmesg | wc -l); }
has_timed_out() { dmesg | tail -n "+$((mark + 1))" | grep -q 'nbd0: Connection timed out'; }
begin_fio
say 'the daemon ends, and the next one comes late'
mark_log
stop_daemon
wait_until has_timed_out
start_daemon --handover
note_progress
wait_until has_progressed
say 'the daemon is stopped for a while'
mark_log
kill -STOP $daemon
wait_until has_timed_out
kill -CONT $daemon
note_progress
wait_until has_progressed
end_fio
end_device
`,
  check: tellLongest,
};

t.test('restarts in a kernel with two processors', { skip: await skipUnlessQemu('fio', 'nbd-client') }, (t) =>
  guestTests(t, [CRASHES, HANDOVERS, TIMED_OUT], {
    before: UNDER_FIO,
    environment: { ROUNDS: String(ROUNDS) },
    timeoutMs: TIMEOUT_MS,
  }),
);
