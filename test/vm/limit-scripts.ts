/** Devices whose limits make the kernel's requests wait: longer than its timeout, and while they are taken away. */
import type { GuestTest } from './guest-tests.js';

/** What the kernel says where it has given up a request, a socket or a task. */
const GAVE_UP =
  /nbd\d: (Connection timed out|Receive control failed|Dead connection|Send .*failed)|I\/O error|blocked for more than|hung/i;

/** `reads DEVICE COUNT`: so many reads at once, of places that the cache does not have; `readers` are their processes. */
const READS = `
reads() {
  local n
  readers=()
  for n in $(seq $2); do
    dd if=/dev/nbd$1 of=/dev/null bs=4k count=1 skip=$((n * 64)) iflag=direct status=none 2>/dev/null &
    readers+=($!)
  done
}
all_over() { local one; for one in "\${readers[@]}"; do ! kill -0 $one 2>/dev/null || return 1; done; }
succeeded() { local one; for one in "\${readers[@]}"; do wait $one || return 1; done; }
throttled() { [[ $(api GET /devices/$1) =~ '"throttled":'([0-9]+) ]] && echo \${BASH_REMATCH[1]}; }
waiting() { [ $(throttled $1) -ge $2 ]; }
# Attached, with 20 reads that wait, or one of them is served.
has_readers() {
  local before
  attached /run/limited.img
  api PATCH /devices/$number/limits '{"bytes":1,"burst":0}' >/dev/null
  before=$(throttled $number)
  reads $number 20
  wait_until waiting $number $((before + 19))
}
`;

/** `timeout`: of the kernel's, seconds; undefined: as it is where nobody asks. */
const longerThan = (timeout: number | undefined, seconds: number): GuestTest => ({
  title: `limited to 4 requests and 64 KiB a second for ${seconds} s, ${timeout === undefined ? 'without a timeout' : `with a timeout of ${timeout} s`}: slow, and nothing else`,
  script: `
${READS}
truncate -s 64M /run/limited.img
truncate -s 16M /run/good.img
attached /run/limited.img '"limits":{"iops":4,"bytes":65536,"burst":0}' '${timeout === undefined ? '' : `"timeout":${timeout}`}'
limited=$number
attached /run/good.img
good=$number
end=$((SECONDS + ${seconds}))
reader() { while [ $SECONDS -lt $end ]; do dd if=/dev/nbd$limited of=/dev/null bs=4k count=1 skip=$((RANDOM % 8000)) iflag=direct status=none; done; }
writer() { while [ $SECONDS -lt $end ]; do dd if=/dev/zero of=/dev/nbd$limited bs=640k count=1 seek=$((RANDOM % 20)) conv=fsync,notrunc status=none; done; }
jobs=()
for n in $(seq 32); do reader & jobs+=($!); done
writer & jobs+=($!)
beside=0
round=0
while [ $SECONDS -lt $end ]; do
  dd if=/dev/zero of=/dev/nbd$good bs=64k count=16 oflag=direct conv=fsync status=none
  beside=$((beside + 1))
  for n in $(seq 30); do pause; done
  case $((round++ % 4)) in
    0) api PATCH /devices/$limited/limits '{"iops":3}' >/dev/null ;;
    1) api PATCH /devices/$limited/limits '{"bytesWrite":32768}' >/dev/null ;;
    2) api PATCH /devices/$limited/limits '{"bytesWrite":null,"iops":8}' >/dev/null ;;
    3) api PATCH /devices/$limited/limits '{"iops":4}' >/dev/null ;;
  esac
done
say "the other device was written $beside times"
say "$(throttled $limited) requests waited"
api PATCH /devices/$limited/limits '{"iops":null,"bytes":null}' >/dev/null
say 'limits are lifted'
for one in "\${jobs[@]}"; do wait $one; done
say 'everybody is done'
dd if=/dev/nbd$limited of=/dev/null bs=1M iflag=direct status=none
api DELETE /devices/$limited/attach >/dev/null
api DELETE /devices/$limited/backing >/dev/null
api DELETE /devices/$good/attach >/dev/null
api DELETE /devices/$good/backing >/dev/null
wait_until all_free
rm /run/limited.img /run/good.img
`,
  unheardOf: GAVE_UP,
});

const LET_GO: GuestTest = {
  title:
    'requests wait for a limit: a detach is refused; one by force, and a clear by force, let them go at once',
  provoked: [/nbd\d/i, /I\/O error/i],
  script: `
${READS}
truncate -s 64M /run/limited.img
has_readers
if api DELETE /devices/$number/attach >/run/answer; then exit 1; fi
grep -q EBUSY /run/answer
api DELETE "/devices/$number/attach?force=true" >/dev/null
wait_until all_over
! succeeded
api DELETE /devices/$number/backing >/dev/null || true
wait_until is_cleared nbd$number /run/limited.img
say 'detached by force'
has_readers
api DELETE "/devices/$number/backing?force=true" >/dev/null
wait_until all_over
! succeeded
api DELETE "/devices/$number/attach?force=true" >/dev/null
wait_until all_free
say 'cleared by force'
rm /run/limited.img
`,
};

export const limitTests = (seconds: number): readonly GuestTest[] => [
  longerThan(5, seconds),
  longerThan(undefined, seconds),
  LET_GO,
];
