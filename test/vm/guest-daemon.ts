/** The daemon and its tools inside a guest: shell functions for a script, and the environment they need. */
import { resolve } from 'node:path';

const PROGRAMS = resolve('dist/bin');

/** Of a guest whose script uses `GUEST_DAEMON`. */
export const guestDaemonEnvironment = {
  NODE: process.execPath,
  NBDLOOP_PROGRAMS: PROGRAMS,
  NBDLOOP_CONTROL: '/run/nbdloop/control.sock',
  /** A module of the host's: no program holds it. */
  CONTROL_CLIENT: resolve('dist/driver/control/client.js'),
} as const;

/**
 * Defines `start_daemon [OPTIONS]` (returns when it serves), `stop_daemon` (SIGTERM, and it must end well),
 * `crash_daemon` (SIGKILL), `take_over` (a second daemon takes over from the first, which must end well),
 * `leave_daemon` and `find_daemon` (for tests that follow one another), `nbdlosetup` and `nbdloop`; and `api METHOD PATH
 * [BODY]`, which asks the daemon without a program of ours, each of which takes seconds to start here: it prints the answer,
 * and fails for an error. What the daemon says is in /run/daemon.log, and shown when the script fails.
 */
export const GUEST_DAEMON = `
say() { echo "guest: $SECONDS s: $*"; }
nbdlosetup() { "$NODE" "$NBDLOOP_PROGRAMS/nbdlosetup.js" "$@"; }
nbdloop() { "$NODE" "$NBDLOOP_PROGRAMS/nbdloop.js" "$@"; }
# Its greeting is the last thing of its start. Asking it would cost more than all the rest: a node a question.
is_serving() {
  kill -0 $daemon || exit 1
  [[ $(</run/daemon.log) = *"process $daemon, control socket"* ]]
}
begin_daemon() {
  "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --state-dir /run/state "$@" >>/run/daemon.log 2>&1 &
  daemon=$!
}
start_daemon() {
  begin_daemon "$@"
  wait_until is_serving
}
has_ended() { ! kill -0 $1 2>/dev/null; }
stop_daemon() {
  kill -TERM $daemon
  wait $daemon
}
crash_daemon() {
  kill -KILL $daemon
  wait $daemon || wait_until has_ended $daemon # one that an earlier test started is no child
}
take_over() {
  local before=$daemon
  begin_daemon --handover
  case " $(jobs -p | tr '\\n' ' ') " in
    *" $before "*) wait $before ;;
    *) wait_until has_ended $before ;;
  esac
  wait_until is_serving
}
# What a test left, the next one finds, or starts one with the options.
leave_daemon() {
  echo $daemon >/run/daemon.pid
  disown $daemon
}
find_daemon() {
  daemon=$(cat /run/daemon.pid 2>/dev/null) && kill -0 $daemon 2>/dev/null || start_daemon "$@"
}
# Without a program of its own: starting one ten times a second would slow down what is waited for.
mkfifo /run/never
exec {never}<>/run/never
pause() { read -rt 0.1 -u $never || true; }
wait_until() {
  local end=$((SECONDS + 300))
  while [ $SECONDS -lt $end ]; do
    "$@" && return 0
    pause
  done
  say "waited in vain until: $*"
  return 1
}
# Each of its threads is an I/O flusher: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE.
all_flushers() {
  local stat line
  for stat in /proc/$daemon/task/*/stat; do
    read -r line <$stat
    set -- \${line##*) }
    [ $(($7 & 0x180000)) = $((0x180000)) ] || return 1
  done
}
is_attached() { [ -e "/sys/block/$1/pid" ]; }
is_free() { [ ! -e "/sys/block/$1/pid" ]; }
all_free() { for pid in /sys/block/nbd*/pid; do [ ! -e "$pid" ] || return 1; done; }
sectors() { cat "/sys/block/$1/size"; }
holds_file() {
  local fd
  for fd in /proc/$daemon/fd/*; do [ ! "$fd" -ef "$1" ] || return 0; done
  return 1
}
is_cleared() { is_free "$1" && ! holds_file "$2"; }
api() {
  local body=()
  [ $# -lt 3 ] || body=(-H 'content-type: application/json' -d "$3")
  curl -s --fail-with-body --unix-socket "$NBDLOOP_CONTROL" -X "$1" "http://nbdloop$2" "\${body[@]}"
}
# Binds a file and attaches it, with more in the bodies of both requests; sets 'number' and 'node'.
attached() {
  local found=''
  found=$(api POST /devices/find "{\\"file\\":\\"$1\\"\${2:+,$2}}")
  number=\${found#*\\"number\\":}
  number=\${number%%,*}
  node=/dev/nbd$number
  api POST "/devices/$number/attach" "{\${3-}}" >/run/answer || { cat /run/answer; return 1; }
}
is_cleared_within() {
  local end=$((SECONDS + $1 + 1))
  until is_cleared "$2" "$3"; do [ $SECONDS -lt $end ] || return 1; pause; done
}
touch /run/daemon.log
trap 'status=$?; [ $status = 0 ] || cat /run/daemon.log; exit $status' EXIT
`;
