/**
 * File systems that hang or crawl under attached devices: what is asked meanwhile, of them and beside them. Each kind defines
 * `make_bad` (it is at /run/bad then), `hang`, `go_on` and `end_bad`.
 */
import { FUSE_PROGRAM } from '../helpers/fuse/fuse-mount.js';

export const FROZEN_EXT4 = `
make_bad() {
  truncate -s 200M /run/bad.img
  bad_disk=$(losetup -f --show /run/bad.img)
  mkfs.ext4 -q -F $bad_disk
  mount $bad_disk /run/bad
}
hang() { fsfreeze -f /run/bad; }
go_on() { fsfreeze -u /run/bad; }
end_bad() {
  umount /run/bad
  losetup -d $bad_disk
  rm /run/bad.img
}
`;

const FUSE = `
make_bad() {
  mkdir -p /run/below
  : >/run/faults
  ${FUSE_PROGRAM} /run/below /run/bad /run/faults &
  fuse=$!
  wait_until mountpoint -q /run/bad
}
end_bad() {
  umount /run/bad
  wait $fuse || true
  rm -r /run/below
}
faults() {
  echo "$*" >/run/faults.new
  mv /run/faults.new /run/faults
}
`;

export const STOPPED_FUSE = `${FUSE}
is_stopped() {
  local status
  for status in /proc/$fuse/task/*/status; do grep -q '^State:.T' $status || return 1; done
}
hang() { kill -STOP $fuse; wait_until is_stopped; }
go_on() { kill -CONT $fuse; }
`;

export const SLOW_FUSE = `${FUSE}
hang() { faults getattr=50 open=50 read=50 write=50 fsync=50 fallocate=50 lseek=50 lock=50; }
go_on() { faults; }
`;

/** A disk of 1 MB a second: it hangs as long as it writes. */
export const SLOW_DISK = `
make_bad() {
  mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 /dev/vda 64M
  mount /dev/vda /run/bad
}
hang() { :; }
go_on() { :; }
end_bad() { umount /run/bad; }
`;

/** Devices of both kinds, and what a script says of them. */
export const BESIDE = `
mkdir -p /run/bad
dd if=/dev/urandom of=/run/random bs=1M count=8 status=none
# A daemon outlives its test.
leave() {
  echo $daemon >/run/daemon.pid
  disown $daemon 2>/dev/null || true
}
forsake() { disown $1 2>/dev/null || true; }
make_devices() {
  find_daemon
  make_bad
  truncate -s 16M /run/good.img /run/bad/a /run/bad/b /run/bad/c
  attached /run/good.img '' '"deadTimeout":300'
  good=$node good_number=$number
  attached /run/bad/a '' '"deadTimeout":300'
  bad=$node bad_number=$number
}
end_devices() {
  nbdlosetup -d $good $bad
  wait_until all_free
  end_bad
  rm /run/good.img
  leave
}
write_bad() {
  dd if=/run/random of=$bad bs=1M oflag=direct conv=fsync status=none &
  writer=$!
  wait_until is_busy
}
is_busy() { read -r reads writes <"/sys/block/\${bad#/dev/}/inflight"; [ $((reads + writes)) -gt 0 ]; }
was_written() {
  wait $writer
  cmp -n $((8 << 20)) /run/random /run/bad/a
}
# A device elsewhere and the control API, in turns, so many times.
beside() {
  local longest=0 began took
  for round in $(seq $1); do
    began=\${EPOCHREALTIME/./}
    timeout 60 dd if=$good of=/dev/null bs=4k count=1 iflag=direct status=none
    timeout 60 dd if=/dev/zero of=$good bs=4k count=1 oflag=direct conv=fsync status=none
    api GET /devices >/dev/null
    api GET /devices/$bad_number >/dev/null || true
    took=$(((\${EPOCHREALTIME/./} - began) / 1000))
    [ $took -le $longest ] || longest=$took
    pause
  done
  say "beside it, four programs: $longest ms at most of $1 times"
}
threads() { ls /proc/$daemon/task | wc -l; }
descriptors() { ls /proc/$daemon/fd | wc -l; }
is_back() { api GET /devices/$bad_number | grep -q '"state":"bound"'; }
# Workers of the kernel's stay for 5 s, a thread that serves nobody for 10 s, and one is kept ready.
nothing_is_left() { [ $(threads) -le $((threads + 6)) ] && [ $(descriptors) -le $((descriptors + 6)) ]; }
`;

/** attach and detach, beside requests. */
export const ASKED = `
make_devices
attached /run/bad/c >/dev/null
idle_number=$number
threads=$(threads) descriptors=$(descriptors)
hang
write_bad
{ attached /run/bad/b; echo $node >/run/late; } &
attacher=$!
api DELETE /devices/$idle_number/attach >/dev/null &
detacher=$!
beside 12
go_on
was_written
wait $attacher
wait $detacher
late=$(</run/late)
dd if=/run/random of=$late bs=1M oflag=direct conv=fsync status=none
cmp -n $((8 << 20)) /run/random /run/bad/b
nbdlosetup -d $late loop$idle_number
wait_until nothing_is_left
end_devices
`;

/** What hangs keeps a killed daemon in the kernel, with all its sockets and locks. */
export const KILLED = `
make_devices
hang
write_bad
before=$daemon
kill -KILL $before
forsake $before
start_daemon --handover
say 'the next one serves'
beside 3
go_on
was_written
wait_until has_ended $before
wait_until is_back
end_devices
`;

/** A daemon hands over while something hangs: `begins` and `ends` say what. */
const handedOver = (begins: string, ends: string): string => `
make_devices
${begins}
write_bad
before=$daemon
forsake $before
began=$SECONDS
begin_daemon --handover
wait_until is_serving
say "served by the next one after $((SECONDS - began)) s"
beside 3
${ends}
was_written
wait_until has_ended $before
wait_until is_back
end_devices
`;

export const HANDED_OVER_HANGING = handedOver('hang', 'go_on');

/** A flush that takes long is what a handover meets: it is asked for again when the process that waits for it is gone. */
export const FLUSH_HANGS = handedOver('faults fsync=15000', 'faults');

/** A TRIM of many pieces: the next daemon does what is left of it, and no socket dies. */
export const LONG_TRIM = `
find_daemon
make_bad
truncate -s 4G /run/bad/a
attached /run/bad/a
bad=$node bad_number=$number
for at in 0 1000 2000 2999; do dd if=/run/random of=$bad bs=1M count=1 seek=$at oflag=direct status=none; done
dd if=/run/random of=$bad bs=1M count=1 seek=3000 oflag=direct status=none
faults fallocate=900
blkdiscard -l 3000M $bad &
trimmer=$!
wait_until is_busy
: >/run/daemon.log
take_over
faults
wait $trimmer
for at in 0 1000 2000 2999; do cmp -n $((1 << 20)) /dev/zero <(dd if=$bad bs=1M count=1 skip=$at iflag=direct status=none); done
cmp -n $((1 << 20)) /run/random <(dd if=$bad bs=1M count=1 skip=3000 iflag=direct status=none)
if grep 'dead sockets replaced' /run/daemon.log; then exit 1; fi
nbdlosetup -d $bad
wait_until all_free
end_bad
leave
`;
