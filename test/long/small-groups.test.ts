/** A control group that allows little memory, or few tasks: the daemon says so, or serves; it never dies of it, nor hangs. */
import { truncateSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { TempDir } from '../helpers/temp.js';
import { skipUnlessQemu } from '../vm/guest-available.js';
import { type GuestTest, guestTests } from '../vm/guest-tests.js';

t.setTimeout(1_600_000);
/** NBDLOOP_GROUPS=all: more sizes. */
const isWhole = process.env.NBDLOOP_GROUPS === 'all';
const MEMORY_MIB = isWhole ? [64, 80, 96, 112, 128, 160, 192, 256] : [64, 96];
const TASKS = isWhole ? [24, 40, 48, 64, 96, 110, 128] : [24, 64];

const GROUPS = `
mount -t cgroup2 groups /sys/fs/cgroup
echo '+memory +pids' >/sys/fs/cgroup/cgroup.subtree_control
group=/sys/fs/cgroup/small
mkfs.ext4 -q -F /dev/vda
mkdir /run/disk
mount /dev/vda /run/disk
in_group() { echo $BASHPID >$group/cgroup.procs; exec "$@"; }
has_served_or_ended() { has_ended $daemon || [[ $(</run/daemon.log) = *"process $daemon, control socket"* ]]; }
# 'refused', with the sentence that names the limit, or 'serves'; whatever it is, it goes on to the end.
begin_small() {
  : >/run/daemon.log
  mkdir -p $group
  echo $1 >$group/memory.max
  echo $2 >$group/pids.max
  in_group "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --state-dir /run/state >>/run/daemon.log 2>&1 &
  daemon=$!
  wait_until has_served_or_ended
  verdict=serves
  ! has_ended $daemon || refused_for $3
}
refused_for() {
  verdict=refused
  if wait $daemon; then exit 1; fi
  grep -E "^nbdloopd: .*$1.*" /run/daemon.log
}
try() { # what is asked is done, or refused with an errno
  local rc=0
  "$@" >/run/said 2>&1 || rc=$?
  [ $rc = 0 ] || grep -E 'ENOMEM|EAGAIN' /run/said
}
used_small() {
  truncate -s 200M /run/disk/a.img
  try attached /run/disk/a.img
  kill -0 $daemon
  if is_attached nbd0; then
    timeout 300 dd if=/dev/zero of=/dev/nbd0 bs=1M count=150 oflag=direct conv=fsync status=none
    timeout 300 dd if=/dev/nbd0 of=/dev/null bs=1M count=150 iflag=direct status=none
  fi
  try api GET /devices
  try nbdloop status
  try nbdlosetup -l
  kill -0 $daemon
  try nbdlosetup -D
  wait_until all_free
  kill -0 $daemon
  kill -TERM $daemon
  wait $daemon
}
small() {
  begin_small "$@"
  say "memory $1, tasks $2: $verdict"
  [ $verdict = refused ] || used_small
  rm -rf /run/state /run/disk/a.img
}
`;

const verdicts = (output: string): string[] =>
  [...output.matchAll(/: (serves|refused)\r?$/gm)].map(([, verdict = '']) => verdict);

const LITTLE_MEMORY: GuestTest = {
  title: `${MEMORY_MIB.join(', ')} MiB of memory: ENOMEM, or it serves`,
  script: MEMORY_MIB.map((mib) => `small ${mib << 20} max 'control group may have.*memory.*ENOMEM'`).join(
    '\n',
  ),
  check: endsWell,
};

const FEW_TASKS: GuestTest = {
  title: `${TASKS.join(', ')} tasks: EAGAIN, or it serves`,
  script: TASKS.map((tasks) => `small max ${tasks} 'tasks that the control group may have.*EAGAIN'`).join(
    '\n',
  ),
  check: endsWell,
};

function endsWell(t: Test, output: string): void {
  t.equal(verdicts(output)[0], 'refused', 'the least is too little, and that is said');
  t.equal(verdicts(output).at(-1), 'serves', 'the most is enough');
}

const DOCTOR: GuestTest = {
  title: 'doctor says so',
  script: `
mkdir -p $group
echo $((96 << 20)) >$group/memory.max
echo 64 >$group/pids.max
( in_group "$NODE" "$NBDLOOP_PROGRAMS/nbdloop.js" doctor ) >/run/answer || true
grep -E 'BAD +memory +at most 96 MiB' /run/answer
grep -E 'BAD +threads +at most 64' /run/answer
`,
};

const skip = await skipUnlessQemu('mkfs.ext4', 'curl');
t.test('small control groups', { skip }, async (t) => {
  using files = new TempDir();
  const disk = files.file('disk');
  writeFileSync(disk, '');
  truncateSync(disk, 400 << 20);
  await guestTests(t, [LITTLE_MEMORY, FEW_TASKS, DOCTOR], {
    before: GROUPS,
    disks: [{ file: disk, drive: { cache: 'unsafe' } }],
  });
});
