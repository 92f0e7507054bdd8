/**
 * Several tests in one booted guest: in software emulation a boot, and the start of a daemon, take longer than most
 * tests. Each test is a shell function of its own subshell, with its own output, kernel log and verdict; what one
 * leaves behind is cleared away before the next.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { TempDir } from '../helpers/temp.js';
import { type GuestOptions, type GuestResult, runGuest } from './guest.js';
import { GUEST_DAEMON, guestDaemonEnvironment } from './guest-daemon.js';
import { kernelComplaints } from './kernel-log.js';
import { archiveProgram, USE_ARCHIVE } from './program-archive.js';

export interface GuestTest {
  readonly title: string;
  /** A bash script, run with `-eu`; it must leave every nbd device free. */
  readonly script: string;
  /** Complaints of the kernel that are provoked. */
  readonly provoked?: readonly RegExp[];
  /** What must not be in the kernel's log, besides complaints. */
  readonly unheardOf?: RegExp;
  /** Looks at what the script has printed. */
  readonly check?: (t: Test, output: string) => void;
}

export interface GuestTestsOptions extends Omit<GuestOptions, 'script'> {
  /** The Node program that the daemon and its tools run on in the guest; the test run's own unless told. */
  readonly node?: string;
  /** Runs before the tests, in their common shell: what it starts, all of them use. */
  readonly before?: string;
  /** Runs after them. */
  readonly after?: string;
}

/** What became of a test; `status` undefined: the guest did not get to its end. */
export interface GuestTestResult {
  readonly test: GuestTest;
  readonly status: number | undefined;
  /** In the guest. */
  readonly milliseconds: number;
  readonly output: string;
  readonly kernelLog: string;
}

export interface GuestTestsResult {
  readonly guest: GuestResult;
  readonly results: readonly GuestTestResult[];
}

/** Runs the tests in a guest with the program at hand; each becomes a subtest of `t`. */
export async function guestTests(
  t: Test,
  tests: readonly GuestTest[],
  options: GuestTestsOptions,
): Promise<void> {
  using shared = new TempDir();
  await archiveProgram(shared);
  const { before = '', environment = {}, node = process.execPath, ...rest } = options;
  const outcome = await runTests(shared, tests, {
    memoryMiB: 2048,
    nbd: { nbdsMax: 16, maxPart: 15 },
    ...rest,
    environment: { ...guestDaemonEnvironment, NODE: node, ...environment },
    before: [GUEST_DAEMON, USE_ARCHIVE, before].join('\n'),
  });
  await assertTests(t, outcome);
}

/** Runs the tests in one guest. `shared` holds what they leave, and is the caller's to remove. */
export async function runTests(
  shared: TempDir,
  tests: readonly GuestTest[],
  options: GuestTestsOptions,
): Promise<GuestTestsResult> {
  const { before = '', after = '', ...machine } = options;
  const guest = await runGuest(shared, {
    timeoutMs: 1_500_000,
    ...machine,
    script: [RUN_TEST, before, ...tests.map(testShell), after].join('\n'),
  });
  return { guest, results: tests.map((test, number) => resultOf(shared, test, number)) };
}

/** One subtest for each test, and assertions about the guest as a whole. */
export async function assertTests(t: Test, { guest, results }: GuestTestsResult): Promise<void> {
  for (const result of results) {
    await t.test(result.test.title, async (t) => verdict(t, result, guest.console));
  }
  t.equal(guest.status, 0, 'exit status of the guest', { console: guest.console });
  t.strictSame(kernelComplaints(guest.kernelLog), [], 'the kernel has nothing to complain of besides');
}

const testShell = ({ script }: GuestTest, number: number): string =>
  `body() {\n${script}\n}\nrun_test ${number}`;

/**
 * Defines `run_test NUMBER`, which runs the function `body`. A failed test does not end the guest: its devices are
 * disconnected by force, so that the next one has them.
 */
const RUN_TEST = `
end_jobs() {
  local rest
  rest=$(jobs -p)
  [ -z "$rest" ] || kill -KILL $rest 2>/dev/null || true
}
becomes_free() {
  local try pid
  for try in $(seq 300); do
    for pid in /sys/block/nbd*/pid; do [ ! -e $pid ] || break; done
    [ -e $pid ] || return 0
    sleep 0.1
  done
  echo "not free: $pid"
  return 1
}
# What threads of a daemon wait for (name, place in the kernel, number of the system call), and how many: one that hangs says nothing itself.
threads_of_daemons() {
  local cmdline
  for cmdline in $(grep -ls nbdloopd.js /proc/[0-9]*/cmdline); do
    head -v -n 1 \${cmdline%cmdline}task/*/{comm,wchan,syscall} 2>/dev/null |
      awk '/^==>/ { split($2, path, "/"); next } NF { said[path[5]] = said[path[5]] " " $1 } END { for (task in said) print said[task] }' |
      sort | uniq -c
  done
}
run_test() {
  local began=$EPOCHREALTIME status=0 node
  set +e
  ( trap end_jobs EXIT; set -eu; body; becomes_free ) 2>&1 | tee "$SHARED/test.$1.output"
  status=\${PIPESTATUS[0]}
  set -e
  if [ $status != 0 ]; then
    [ ! -e /run/daemon.log ] || tail -n 60 /run/daemon.log >>"$SHARED/test.$1.output"
    threads_of_daemons >>"$SHARED/test.$1.output" || true
    umount -l /run/mnt 2>/dev/null || true
    for node in /sys/block/nbd*/pid; do
      [ ! -e $node ] || nbd-client -d "/dev/$(basename "$(dirname $node)")" || true
    done
    ! declare -F nbdlosetup >/dev/null || nbdlosetup -D || true
  fi
  dmesg --read-clear >"$SHARED/test.$1.kernel"
  echo "$status $(((\${EPOCHREALTIME/[.,]/} - \${began/[.,]/}) / 1000))" >"$SHARED/test.$1.status"
  echo "guest: test $1 ended with $status"
}
`;

function resultOf(shared: TempDir, test: GuestTest, number: number): GuestTestResult {
  const read = (what: string): string => {
    const path = shared.file(`test.${number}.${what}`);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const [status, milliseconds] = read('status').split(' ').map(Number);
  return {
    test,
    status: milliseconds === undefined ? undefined : status,
    milliseconds: milliseconds ?? 0,
    output: read('output'),
    kernelLog: read('kernel'),
  };
}

function verdict(t: Test, result: GuestTestResult, console: string): void {
  const { test, status, output, kernelLog, milliseconds } = result;
  t.equal(status, 0, 'exit status of the test', status === undefined ? { console, output } : { output });
  if (status !== undefined) t.comment(`${(milliseconds / 1000).toFixed(1)} s in the guest`);
  t.strictSame(kernelComplaints(kernelLog, test.provoked), [], 'the kernel has nothing to complain of');
  if (test.unheardOf !== undefined) t.notMatch(kernelLog, test.unheardOf, 'nothing unheard of');
  if (status === 0) test.check?.(t, output);
}
