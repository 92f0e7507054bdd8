/**
 * What happens to a daemon while fio writes to its device. A start is the slowest thing in a guest, so a test may leave its
 * daemon to the next one.
 */
import type { Test } from 'tap';
import type { GuestTest } from './guest-tests.js';

/**
 * fio writes at random to loop0 and verifies every block again, from `begin_fio` to `end_fio`, which fails for any
 * error and prints the longest write. `has_progressed` holds once a good number of writes went through.
 */
export const UNDER_FIO = `
begin_fio() {
  fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --rw=randwrite --bsrange=4k-64k \\
    --iodepth=16 --size=32m --time_based --runtime=1d --rate_iops=60 --eta=never --verify=crc32c \\
    --verify_backlog=64 --verify_fatal=1 --verify_state_save=0 --output-format=json --output=/run/fio.json &
  fio=$!
  goes_on
}
count_writes() { read -r _ _ _ _ writes _ </sys/block/nbd0/stat; }
has_progressed() {
  kill -0 $fio || exit 1
  count_writes
  [ $writes -gt $((noted + 60)) ]
}
goes_on() {
  count_writes
  noted=$writes
  wait_until has_progressed
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
  api DELETE "/devices/$number/backing"
  wait_until all_free
}
timed_take_over() {
  local began=$EPOCHREALTIME
  take_over
  echo "the daemon served after $(((\${EPOCHREALTIME/./} - \${began/./}) / 1000)) ms"
}
crash_and_start() {
  crash_daemon
  start_daemon --handover
  goes_on
}
`;

const longestWrite = (output: string): number => Number(/longest write: (\d+) ms/.exec(output)?.[1]);
/** Of the daemon that was the first to serve after it was started. */
const shortestStart = (output: string): number =>
  Math.min(...[...output.matchAll(/daemon served after (\d+) ms/g)].map(([, ms]) => Number(ms)));
const tellLongest = (t: Test, output: string): void => {
  t.comment(`longest write: ${longestWrite(output)} ms`);
};

/** While no daemon is there, everything waits for one: on a busy machine longer than the kernel finds natural. */
export const WITHOUT_DAEMON: readonly RegExp[] = [/INFO: task .* blocked for more than/];

export const crashes = (rounds: number): GuestTest => ({
  title: `under fio a daemon is killed ${rounds} times, ends without a successor, and is stopped until its sockets time out: no error, nothing lost`,
  script: `
start_daemon --handover
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2 --timeout 2 --dead-timeout 600
number=0
mark_log() { mark=$(dmesg | wc -l); }
has_timed_out() { dmesg | tail -n "+$((mark + 1))" | grep -q 'nbd0: Connection timed out'; }
begin_fio
for round in $(seq ${rounds}); do
  say "killed, round $round"
  crash_and_start
done
say 'the daemon ends, and the next one comes late'
mark_log
stop_daemon
wait_until has_timed_out
start_daemon --handover
goes_on
say 'the daemon is stopped for a while'
mark_log
kill -STOP $daemon
wait_until has_timed_out
kill -CONT $daemon
goes_on
end_fio
[ "$(nbdlosetup -n -O NAME,BACK-FILE --raw)" = '/dev/nbd0 /run/disk.img' ]
end_device
leave_daemon
`,
  provoked: WITHOUT_DAEMON,
  check: tellLongest,
});

/** What a dead or silent connection has the kernel say. */
const LOST_SOCKET = /nbd0: (Receive control failed|Connection timed out|Send (control|data) failed|.*dead)/i;

export const handovers = (rounds: number): GuestTest => ({
  title: `a daemon takes over from another under fio, ${rounds} times: no socket dies, no request waits for its start`,
  script: `
find_daemon --handover
truncate -s 32M /run/disk.img
attached /run/disk.img '' '"connections":2'
begin_fio
for round in $(seq ${rounds}); do
  say "round $round"
  timed_take_over
  goes_on
done
end_fio
end_device
leave_daemon
`,
  unheardOf: LOST_SOCKET,
  check: (t, output) => {
    tellLongest(t, output);
    t.ok(
      longestWrite(output) < shortestStart(output),
      'the longest write took less than the start of a daemon',
      {
        output,
      },
    );
  },
});

/** A short life of a daemon: used, killed, and taken over from, all under fio. */
export const KILLED_AND_REPLACED: GuestTest = {
  title: 'attached, verified, killed and started again, taken over from',
  script: `
start_daemon --handover
truncate -s 32M /run/disk.img
attached /run/disk.img '' '"connections":2,"deadTimeout":600'
begin_fio
crash_and_start
timed_take_over
goes_on
end_fio
nbdlosetup -d /dev/nbd0
wait_until all_free
stop_daemon
`,
  provoked: WITHOUT_DAEMON,
  check: tellLongest,
};
