import t from 'tap';
import { skipUnlessUml } from './guest-available.js';
import { succeeds } from './guest-succeeds.js';

t.setTimeout(600_000);
const skip = skipUnlessUml('fio');

/** Rounds a run: NBDLOOP_ROUNDS=10 for the long one. */
const ROUNDS = Number(process.env.NBDLOOP_ROUNDS ?? 2);

/** fio writes at random and verifies, while the daemon behind it is replaced again and again. */
const underFio = (replace: string, options: string): string => `
truncate -s 64M /run/disk.img
start_daemon ${options}
nbdlosetup --no-attach -f /run/disk.img
nbdloop attach loop0 --by netlink --timeout 5 --dead-timeout 60
for round in $(seq ${ROUNDS}); do
  say "round $round"
  fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=8 \\
    --size=16m --rate_iops=800 --eta=never --verify=crc32c --verify_fatal=1 --verify_state_save=0 \\
    --output-format=json --output=/run/fio.json &
  fio=$!
  sleep 2
  kill -0 $fio
  ${replace}
  start_daemon ${options}
  [ "$(nbdlosetup -n -O NAME,BACK-FILE --raw)" = '/dev/nbd0 /run/disk.img' ]
  wait $fio
  "$NODE" -e '
    const text = require("fs").readFileSync("/run/fio.json", "utf8");
    const [job] = JSON.parse(text.slice(text.indexOf("{"))).jobs;
    const slowest = job.write.clat_ns.max / 1e9;
    console.log("guest: " + job.write.total_ios + " writes, the slowest took " + slowest.toFixed(2) + " s");
    process.exit(job.error === 0 && job.write.total_ios > 0 ? 0 : 1);
  '
done
nbdloop detach loop0
wait_until all_free
stop_daemon
`;

t.test(`a crash under fio is not noticed, ${ROUNDS} times`, { skip }, (t) =>
  succeeds(t, underFio('crash_daemon', ''), { kernel: 'uml', timeoutMs: 60_000 + ROUNDS * 30_000 }),
);

t.test(`a handover under fio is not noticed, ${ROUNDS} times`, { skip }, (t) =>
  succeeds(t, underFio('stop_daemon', '--handover'), { kernel: 'uml', timeoutMs: 60_000 + ROUNDS * 30_000 }),
);
