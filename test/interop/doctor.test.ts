/** nbdloop doctor: each check with what it looks for provoked. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Finding } from '../../driver/doctor/finding.js';
import { checkClock, checkNode } from '../../driver/doctor/machine.js';
import { EXPLAINING_CHECKS, EXPLAINING_FILE_CHECKS } from '../../driver/see-doctor.js';
import { type Ended, run } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(180_000);

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BIN = `${ROOT}dist/bin/`;
const DOCTOR = `${process.execPath} ${BIN}nbdloop.js doctor --json`;
const skip = process.getuid?.() === 0 ? skipUnless('unshare', 'setpriv') : 'only root makes name spaces';

const shell = (script: string): Promise<Ended> => run('/bin/bash', ['-c', script]);
const found = ({ stdout }: Ended, check: string): Finding | undefined =>
  (JSON.parse(stdout) as Finding[]).find((finding) => finding.check === check);

t.test('limits that are too low would break it: exit 1, and what to do', async (t) => {
  const files = await shell(`ulimit -n 200; exec ${DOCTOR}`);
  t.equal(files.status, 1);
  t.match(found(files, 'open files'), { verdict: 'bad', says: 'at most 200', help: /LimitNOFILE/ });
  const page = await shell(`ulimit -n 200; exec ${DOCTOR.replace(' --json', '')}`);
  t.match(page.stdout, /^BAD {3}open files +at most 200\n +-> ulimit -Hn 256 or more/m);
  const memory = await shell(`ulimit -l 64; exec setpriv --bounding-set -ipc_lock ${DOCTOR}`);
  if (memory.status !== null && memory.stdout !== '')
    t.match(found(memory, 'locked memory')?.says, /^(at most 65536 bytes|enough)/);
});

t.test('an address family that is missing is told, and breaks nothing', { skip }, async (t) => {
  const without = await shell(`unshare -n ${DOCTOR}`);
  t.match(found(without, 'IPv6'), { verdict: 'note', says: /::1 can't be listened on \(E[A-Z]+\)/ });
  t.equal(without.status, 0);
});

t.test('io_uring that a filter refuses is told', async (t) => {
  const modules = new URL('../', import.meta.url).href;
  const script = `
    import { refuseCalls } from '${modules}helpers/seccomp.js';
    import { checkSeccomp, checkUring } from '${modules}../driver/doctor/kernel.js';
    const before = [...checkUring(), ...checkSeccomp()];
    refuseCalls({ call: 425, argument: 0, is: 2, errno: 1 });
    console.log(JSON.stringify([before, [...checkUring(), ...checkSeccomp()]]));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
  const [, after] = JSON.parse(stdout) as [Finding[], Finding[]];
  t.match(after, [
    { check: 'io_uring', verdict: 'note', help: /seccomp profile|io_uring_disabled/ },
    { check: 'seccomp', verdict: 'note' },
  ]);
});

t.test('a run directory of somebody else would break it', { skip }, async (t) => {
  const runtime = mkdtempSync('/tmp/nbdloop-doctor-');
  t.teardown(() => rmSync(runtime, { recursive: true }));
  mkdirSync(`${runtime}/nbdloop`, { mode: 0o777 });
  // The checkout may be in a directory that nobody else may enter.
  const view = mkdtempSync('/tmp/nbdloop-view-');
  t.teardown(() => rmSync(view, { recursive: true }));
  chmodSync(view, 0o755);
  mkdirSync(`${view}/here`);
  const asNobody = `
    mount --bind ${ROOT} ${view}/here && XDG_RUNTIME_DIR=${runtime} exec setpriv --reuid=65534 --clear-groups \\
      ${process.execPath} ${view}/here/dist/bin/nbdloop.js doctor --json`;
  const runAsNobody = (): Promise<Ended> => run(tool('unshare'), ['--mount', '/bin/bash', '-c', asNobody]);
  const hidden = await runAsNobody();
  t.match(found(hidden, 'run directory'), { verdict: 'bad', says: /can't be used \(EACCES\)/ });
  chmodSync(runtime, 0o755);
  const other = await runAsNobody();
  t.equal(other.status, 1, other.stderr);
  t.match(found(other, 'run directory'), { verdict: 'bad', says: /is not ours alone/ });
  t.match(found(other, 'rights'), { verdict: 'note', says: /CAP_SYS_ADMIN/ });
});

t.test('root of a user namespace has no rights over the kernel', { skip }, async (t) => {
  const ended = await run(tool('unshare'), ['-Ur', '/bin/bash', '-c', `exec ${DOCTOR}`]);
  if (/unshare failed/.test(ended.stderr)) return t.comment(ended.stderr);
  t.match(found(ended, 'rights'), { verdict: 'note', says: /user namespace/ });
});

t.test('what the file system of a file can do is tried', async (t) => {
  const directory = mkdtempSync('/dev/shm/nbdloop-doctor-');
  t.teardown(() => rmSync(directory, { recursive: true }));
  writeFileSync(`${directory}/a.img`, Buffer.alloc(4096, 7));
  const memory = await shell(`${DOCTOR} ${directory}/a.img`);
  t.match(found(memory, 'reflink'), { verdict: 'note', says: /clones no files/ });
  t.match(found(memory, 'punch'), { verdict: 'good' });
  t.match(found(memory, 'holes'), { verdict: 'good' });
  const none = await shell(`${DOCTOR} ${directory} ${directory}/none.img`);
  t.equal(none.status, 1);
  t.match(
    (JSON.parse(none.stdout) as Finding[]).filter(({ check }) => check === 'file'),
    [
      { verdict: 'bad', says: /neither a regular file/ },
      { verdict: 'bad', says: /ENOENT/ },
    ],
  );
});

t.test('a clock before all certificates, and a Node.js that is too old, would break it', async (t) => {
  t.match(checkClock(0), [{ verdict: 'bad', help: /set the time/ }]);
  t.match(checkClock(Date.now()), [{ verdict: 'good' }]);
  t.match(checkNode('18.19.0'), [{ verdict: 'bad' }]);
  t.match(checkNode(), [{ verdict: 'good' }]);
});

t.test(
  'a daemon that runs elsewhere is found, and else it is said where it was looked for',
  { skip },
  async (t) => {
    using dir = new TempDir();
    const directory = dir.file('nbdloop-elsewhere');
    // A network name space of its own: what else listens on this machine does not show there.
    const script = `
    mkdir ${directory}; unset NBDLOOP_CONTROL XDG_RUNTIME_DIR
    ${process.execPath} ${BIN}nbdloopd.js --unix ${directory}/n.sock --control ${directory}/control.sock --log-level silent >/dev/null & daemon=$!
    for i in $(seq 200); do [ -S ${directory}/control.sock ] && break; sleep 0.1; done
    ${process.execPath} ${BIN}nbdloop.js status; echo "status $?"
    ${DOCTOR.replace(' --json', '')} | grep ' daemon '
    kill $daemon; wait $daemon
    ${process.execPath} ${BIN}nbdloopd.js --unix ${directory}/n.sock --control ${dir.path}/any.name --log-level silent >/dev/null & daemon=$!
    for i in $(seq 200); do grep -q '@nbdloop:${dir.path}/any.name' /proc/net/unix && break; sleep 0.1; done
    ${process.execPath} ${BIN}nbdlosetup.js -f; echo "any $?"
    kill $daemon; wait $daemon
    ${process.execPath} ${BIN}nbdlosetup.js; echo "status $?"`;
    const { stdout, stderr } = await run('unshare', ['-n', '/bin/bash', '-c', script]);
    t.match(stdout, new RegExp(`^ok +daemon +${directory}/control.sock: a daemon$`, 'm'));
    t.match(stdout, /^loop0\nany 0$/m, 'a control socket of any name is found');
    t.match(stdout, /status 0\n[\s\S]*status 1\n$/);
    t.match(
      stderr,
      /no nbdloopd is listening on \/run\/nbdloop\/control\.sock; .*looked at .*\/tmp\/nbdloop-0\/control\.sock: nothing.*doctor/,
    );
  },
);

t.test('what errors say of a check is the name of one', async (t) => {
  using dir = new TempDir();
  const file = dir.file('a.img');
  writeFileSync(file, '');
  const { stdout } = await shell(`${DOCTOR} ${file}`);
  const names = (JSON.parse(stdout) as Finding[]).map(({ check }) => check);
  for (const check of [...EXPLAINING_CHECKS, ...EXPLAINING_FILE_CHECKS]) t.ok(names.includes(check), check);
});
