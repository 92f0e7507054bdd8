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

/** What a client that has lost its server says of it. */
const LOST: readonly RegExp[] = [/I\/O error.* nbd\d/i, /Buffer I\/O error on dev nbd\d/];

export const BY_HAND_BY_NAME: GuestTest = {
  title:
    'nbd-client goes on through a reload and a rename, and has its export again by name after a handover',
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
say 'the daemon is another one'
take_over
if still_same /dev/nbd0; then say 'the connection outlived its server'; exit 1; fi
nbd-client -d /dev/nbd0
wait_until is_free nbd0
by_hand /dev/nbd0 other
still_same /dev/nbd0
nbd-client -d /dev/nbd0
wait_until is_free nbd0
api DELETE /devices/5/backing
cmp -n 65536 /run/pattern /run/hand.img
rm /run/hand.img /run/pattern
leave_daemon
`,
  provoked: [...WITHOUT_DAEMON, ...LOST],
};
