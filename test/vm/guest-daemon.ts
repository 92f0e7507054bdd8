/** The daemon and its tools inside a guest: shell functions for a script, and the environment they need. */
import { resolve } from 'node:path';

const PROGRAMS = resolve('dist/driver/cli');

/** Of a guest whose script uses `GUEST_DAEMON`. */
export const guestDaemonEnvironment = {
  NODE: process.execPath,
  NBDLOOP_PROGRAMS: PROGRAMS,
  NBDLOOP_CONTROL: '/run/nbdloop/control.sock',
} as const;

/**
 * Defines `start_daemon [OPTIONS]`, `stop_daemon` (SIGTERM, and it must end well), `crash_daemon` (SIGKILL),
 * `nbdlosetup` and `nbdloop`. What the daemon says is in /run/daemon.log, and shown when the script fails.
 */
export const GUEST_DAEMON = `
say() { echo "guest: $*"; }
nbdlosetup() { "$NODE" "$NBDLOOP_PROGRAMS/nbdlosetup.js" "$@"; }
nbdloop() { "$NODE" "$NBDLOOP_PROGRAMS/nbdloop.js" "$@"; }
start_daemon() {
  "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --state-dir /run/state "$@" >>/run/daemon.log 2>&1 &
  daemon=$!
  for try in $(seq 600); do
    kill -0 $daemon || return 1
    nbdloop status >/run/status 2>&1 && return 0
    sleep 0.1
  done
  say 'the daemon does not answer'
  return 1
}
stop_daemon() {
  kill -TERM $daemon
  wait $daemon
}
crash_daemon() {
  kill -KILL $daemon
  wait $daemon || true
}
wait_until() {
  for try in $(seq 300); do "$@" && return 0; sleep 0.1; done
  say "waited in vain until: $*"
  return 1
}
is_attached() { [ -e "/sys/block/$1/pid" ]; }
all_free() { ! ls /sys/block/nbd*/pid >/run/attached 2>/dev/null; }
is_free() { [ ! -e "/sys/block/$1/pid" ]; }
trap 'status=$?; [ $status = 0 ] || cat /run/daemon.log; exit $status' EXIT
`;
