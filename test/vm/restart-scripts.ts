/** What a guest does to a daemon while fio writes to its device: each test has daemons of its own. */
import type { Test } from 'tap';
import type { GuestTest } from './guest-tests.js';

/**
 * fio writes at random to loop0 and verifies every block again, from `begin_fio` to `end_fio`, which fails for any
 * error and prints the longest write. `has_progressed` holds once a good number of writes went through.
 */
export const UNDER_FIO = `
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
/** Of the daemon that was the first to serve after it was started. */
const shortestStart = (output: string): number =>
  Math.min(...[...output.matchAll(/daemon served after (\d+) ms/g)].map(([, ms]) => Number(ms)));
const tellLongest = (t: Test, output: string): void => {
  t.comment(`longest write: ${longestWrite(output)} ms`);
};

export const crashes = (rounds: number): GuestTest => ({
  title: `SIGKILL and restart under fio, ${rounds} times: no error, nothing lost`,
  script: `
start_daemon
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2 --timeout 5 --dead-timeout 600
begin_fio
for round in $(seq ${rounds}); do
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
});

/** What a dead or silent connection has the kernel say. */
const LOST_SOCKET = /nbd0: (Receive control failed|Connection timed out|Send (control|data) failed|.*dead)/i;

export const handovers = (rounds: number): GuestTest => ({
  title: `a daemon takes over from another under fio, ${rounds} times: no socket dies, no request waits for its start`,
  script: `
start_daemon --handover
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2
begin_fio
for round in $(seq ${rounds}); do
  say "round $round"
  began=$EPOCHREALTIME
  take_over
  echo "the daemon served after $(((\${EPOCHREALTIME/./} - \${began/./}) / 1000)) ms"
  note_progress
  wait_until has_progressed
done
end_fio
end_device
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

export const TIMED_OUT: GuestTest = {
  title: 'sockets that time out while no daemon has them, or while it is stopped, are replaced',
  script: `
start_daemon --handover
truncate -s 32M /run/disk.img
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --connections 2 --timeout 2 --dead-timeout 600
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
