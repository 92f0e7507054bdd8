/**
 * `npm run test:arm64 [-- --all]`: an emulated arm64 machine with Debian's kernel runs the unit tests that a processor can
 * fail, or all of them, a selection of the interop tests, and devices of its own kernel. Exits 0 when nothing failed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { TempDir } from '../helpers/temp.js';
import { installPackages, packagesOf } from '../runner/packages.js';
import { exitStatus, TapReport, total } from '../runner/tap-report.js';
import { hostArch } from '../vm/debian.js';
import { OVER_FOUR_SOCKETS, PARTITIONS } from '../vm/device-scripts.js';
import { GUEST_DAEMON } from '../vm/guest-daemon.js';
import { type GuestTest, runTests } from '../vm/guest-tests.js';
import { kernelComplaints } from '../vm/kernel-log.js';
import { KILLED_AND_REPLACED, UNDER_FIO } from '../vm/restart-scripts.js';
import { projectDisk } from './disk.js';
import { armRoot, DISK } from './root.js';

/** Structures, system calls, memory that is shared with the kernel or between threads, and the order of bytes. */
const STANDS_ON_PROCESSOR =
  /\/unit\/(helper|io|kernel|store|system|wire)\/|\/reactor-(io|domains|order)\.|\/system-calls|\/dirty-map|\/piece-sender/;

const INTEROP = ['lifecycle', 'fio', 'tls'].map((name) => `dist/test/interop/${name}.test.js`);

/** A hang limit, milliseconds: all of it takes hours where much else runs. */
const LIMIT = 4 * 3_600_000;

function unitFiles(all: boolean): string[] {
  return readdirSync('test/unit', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('dist/test/unit', name.replace(/\.ts$/, '.js')))
    .filter((file) => all || STANDS_ON_PROCESSOR.test(file))
    .sort();
}

/** Two at a time, as there are two processors; `$SHARED/tap.N` is what the Nth file has printed. */
const filesTest = (title: string, files: readonly string[], first: number): GuestTest => ({
  title,
  script: `
run_file() {
  local began=$SECONDS status=0
  "$NODE" --import ./dist/test/arm64/patient.js $2 >"$SHARED/tap.$1" 2>"$SHARED/error.$1" || status=$?
  echo $status >"$SHARED/ended.$1"
  echo "guest: $2 ended with $status after $((SECONDS - began)) s"
}
export -f run_file
cd ${DISK}/project
{
${files.map((file, index) => `echo ${first + index} ${file}`).join('\n')}
} | xargs -P 2 -L 1 bash -c 'run_file "$@"' bash
`,
});

const ownDaemon = (test: GuestTest): GuestTest => ({
  ...test,
  script: `start_daemon\n${test.script}\nstop_daemon\n`,
});

const BEFORE = `
mount -t ext4 /dev/vda ${DISK}
export TMPDIR=${DISK}/tmp TAP_TIMEOUT=1000 NBDLOOP_CONTROL
ulimit -n 65536
${GUEST_DAEMON}
${UNDER_FIO}
`;

/** What a file has printed, counted. */
function reportOf(shared: TempDir, file: string, number: number): TapReport {
  const read = (name: string): string => {
    const path = shared.file(`${name}.${number}`);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const report = new TapReport(file);
  report.write(read('tap'));
  report.end();
  const status = read('ended').trim();
  if (status !== '0' && report.counts.failed === 0) report.fail(`ended with ${status || 'nothing'}`);
  if (report.counts.failed > 0) report.lines.push(read('error'));
  return report;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { all: { type: 'boolean', default: false } } });
  if (hostArch() === 'arm64') throw new Error('this is an arm64 machine: npm test tests it');
  await installPackages(
    packagesOf({ 'qemu-system-aarch64': 'qemu-system-arm', cpio: 'cpio', xz: 'xz-utils' }),
  );
  using shared = new TempDir();
  using files = new TempDir();
  const unit = unitFiles(values.all);
  const tests = [
    filesTest('unit tests', unit, 0),
    filesTest('interop tests', INTEROP, unit.length),
    ownDaemon({ title: 'attached by netlink over four sockets, and verified', script: OVER_FOUR_SOCKETS }),
    ownDaemon({ title: 'partitions appear as nodes, and are read again', script: PARTITIONS }),
    KILLED_AND_REPLACED,
  ];
  const { guest, results } = await runTests(shared, tests, {
    arch: 'arm64',
    root: await armRoot(),
    disks: [{ file: await projectDisk(files) }],
    memoryMiB: 4096,
    nbd: { nbdsMax: 16, maxPart: 15 },
    timeoutMs: LIMIT,
    before: BEFORE,
    environment: {
      NODE: `${DISK}/node`,
      NBDLOOP_PROGRAMS: `${DISK}/project/dist/bin`,
      NBDLOOP_CONTROL: '/run/nbdloop/control.sock',
      CONTROL_CLIENT: `${DISK}/project/dist/driver/control/client.js`,
    },
    onConsole: (text) => process.stdout.write(text),
  });
  const counts = [...unit, ...INTEROP].map((file, number) => {
    const { counts, lines } = reportOf(shared, file, number);
    for (const line of lines) console.log(line);
    return counts;
  });
  for (const { test, status, output, kernelLog } of results) {
    const complaints = kernelComplaints(kernelLog, test.provoked);
    const isGood = status === 0 && complaints.length === 0;
    counts.push({ passed: isGood ? 1 : 0, failed: isGood ? 0 : 1, skipped: 0 });
    console.log(`${isGood ? 'ok' : 'not ok'} ${test.title}`);
    if (!isGood) console.log(output, complaints.join('\n'));
  }
  const sum = total(counts);
  if (guest.status !== 0) {
    sum.failed += 1;
    console.log(`the guest ended with ${guest.status}`);
  }
  console.log(`arm64: ${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  process.exitCode = exitStatus(sum, false);
}

await main();
