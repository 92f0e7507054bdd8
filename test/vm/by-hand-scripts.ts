/** The stock nbd-client, on its own, while the daemon and its exports change under it. */
import type { GuestTest } from './guest-tests.js';
import { WITHOUT_DAEMON } from './restart-scripts.js';

/**
 * `by_hand NODE NAME [OPTIONS]` attaches an export by its name; `still_same NODE` fails unless the device has what was written, past
 * every cache, and takes another write.
 */
const BY_HAND = `
by_hand() {
  local node=$1 name=$2
  shift 2
  nbd-client -unix /run/nbdloop/nbd.sock $node -name "$name" "$@"
}
bound_as() { api PUT "/devices/$1/backing" "{\\"file\\":\\"/run/hand.img\\",\\"exportName\\":\\"$2\\"}" >/dev/null; }
still_same() {
  dd if=$1 bs=64k count=1 iflag=direct status=none | cmp - /run/pattern
  dd if=/run/pattern of=$1 bs=64k seek=1 oflag=direct conv=fsync status=none
}
begin_by_hand() {
  truncate -s 16M /run/hand.img
  head -c 64k /dev/urandom >/run/pattern
  dd if=/run/pattern of=/run/hand.img conv=notrunc status=none
}
`;

export const BY_HAND_BY_NAME: GuestTest = {
  title:
    'nbd-client goes on through a reload, a rename and changes of the daemon, and finds its export by name',
  script: `
${BY_HAND}
find_daemon
begin_by_hand
for n in 0 5; do api POST /devices "{\\"number\\":$n}" >/dev/null || true; done
bound_as 0 data
by_hand /dev/nbd0 data
still_same /dev/nbd0
say 'a reload, and another name'
nbdloop reload
still_same /dev/nbd0
api PATCH /devices/0 '{"exportName":"other"}' >/dev/null
still_same /dev/nbd0
if by_hand /dev/nbd1 data; then exit 1; fi
by_hand /dev/nbd1 other
still_same /dev/nbd1
nbd-client -d /dev/nbd1
wait_until is_free nbd1
say 'the number changes, the name stays'
nbd-client -d /dev/nbd0
wait_until is_free nbd0
api DELETE /devices/0/backing
bound_as 5 other
by_hand /dev/nbd0 other
still_same /dev/nbd0
say 'the daemon is another one, under writes that are verified, and an ioctl client'
by_hand /dev/nbd1 other -nonetlink
wait_until is_attached nbd1
fio --name=w --filename=/dev/nbd0 --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=4k --offset=1m --size=4m \
  --verify=crc32c --rate_iops=150 --output=/run/fio.out & writer=$!
for round in 1 2; do
  sleep 1
  take_over
  still_same /dev/nbd0
  still_same /dev/nbd1
done
wait $writer
say 'it was another one twice'
nbd-client -d /dev/nbd1
wait_until is_free nbd1
nbd-client -d /dev/nbd0
wait_until is_free nbd0
api DELETE /devices/5/backing
cmp -n 65536 /run/pattern /run/hand.img
rm /run/hand.img /run/pattern
leave_daemon
`,
  provoked: WITHOUT_DAEMON,
};
