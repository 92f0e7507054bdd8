import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { run } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(120_000);

t.test('signals that Node gives a meaning, and a reload, do not end the daemon or open a port', async (t) => {
  await using daemon = await Daemon.start();
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) {
    daemon.process.signal(signal);
    // Answered behind the signal: whatever it was to do has begun.
    await daemon.client.daemon();
    await sleep(200);
    t.equal(daemon.process.isOver, false, `it lives through ${signal}`);
  }
  t.notMatch(daemon.process.stderr, /Debugger|inspector/i);
  t.match(await daemon.stop(), { status: 0 });
});

t.test('SIGUSR1 opens no port of a tool that runs for long either', async (t) => {
  await using daemon = await Daemon.start();
  const events = daemon.startCli('nbdloop', 'events');
  // It listens once a change is told.
  for (let number = 40; events.stdout === ''; number++) {
    await daemon.client.add(number);
    await sleep(50);
  }
  events.signal('SIGUSR1');
  await sleep(200);
  t.equal(events.isOver, false);
  t.notMatch(events.stderr, /Debugger|inspector/i);
  await events[Symbol.asyncDispose]();
});

/**
 * Runs its arguments with SIGUSR1 waiting for them already, sends it again and again until they have ended, and says
 * which ports of theirs listened meanwhile. What has said "control socket" is asked to end.
 */
const SIGNALLED = `
import os, signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.execv(sys.argv[1], sys.argv[1:])
os.close(writing)
os.set_blocking(reading, False)

def held():
    for fd in os.listdir('/proc/%d/fd' % child):
        try:
            yield os.readlink('/proc/%d/fd/%s' % (child, fd))
        except OSError:
            pass

def listening():
    lines = [line.split() for name in ('tcp', 'tcp6') for line in open('/proc/net/' + name)]
    ports = {'socket:[%s]' % line[9]: line[1] for line in lines if line[3] == '0A'}
    try:
        return {ports[socket] for socket in held() if socket in ports}
    except OSError:
        return set()

said, found, asked = b'', set(), False
while os.waitpid(child, os.WNOHANG)[0] == 0:
    os.kill(child, signal.SIGUSR1)
    found |= listening()
    try:
        said += os.read(reading, 65536)
    except BlockingIOError:
        time.sleep(0.001)
    if b'control socket' in said and not asked:
        asked = True
        os.kill(child, signal.SIGTERM)
try:
    said += os.read(reading, 65536)
except BlockingIOError:
    pass
print(sorted(found), b'Debugger listening' in said)
`;

t.test(
  'SIGUSR1 from the first instant of a process on opens no port of the programs as they are installed',
  { skip: skipUnless('python3') },
  async (t) => {
    using directory = new TempDir();
    const image = makeSparseFile(directory.file('disk.img'), 1 << 20);
    const sockets = ['--unix', directory.file('nbd.sock'), '--control', directory.file('control.sock')];
    const daemon = ['--listen', 'none', '--device', image, ...sockets];
    for (const [name, words] of Object.entries({
      nbdloopd: daemon,
      nbdlosetup: ['--version'],
      nbdloop: ['--version'],
      'mount-nbdloop': ['--help'],
      'umount-nbdloop': ['--help'],
    })) {
      const program = resolve('dist/bin', `${name}.js`);
      chmodSync(program, 0o755); // as npm does for the programs of a package
      const { stdout, stderr } = await run(tool('python3'), ['-c', SIGNALLED, program, ...words], {
        timeoutMs: 60_000,
      });
      t.equal(stdout, '[] False\n', name, { stderr });
    }
  },
);

t.test('nor of the process that helps the daemon', async (t) => {
  using files = new TempDir();
  const images = ['a', 'b'].map((name) => makeSparseFile(files.file(name), 1 << 20));
  await using holder = await Daemon.start({ devices: images });
  await using daemon = await Daemon.start();
  /** Who holds the lock is asked of the helper. */
  const refusedBy = async (file = ''): Promise<string> =>
    (await daemon.client.find({ file }).catch((error: Error) => error)).toString();
  t.match(await refusedBy(images[0]), `process ${holder.pid}`);
  const [helper] = childrenOf(daemon.pid);
  for (let i = 0; i < 20; i++) process.kill(Number(helper), 'SIGUSR1');
  t.match(await refusedBy(images[1]), `process ${holder.pid}`);
  t.strictSame(childrenOf(daemon.pid), [helper], 'it lives on');
  t.notMatch(daemon.process.stderr, /Debugger|inspector/i);
});

const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
  );

t.test('SIGQUIT and SIGALRM end in order, as SIGTERM does', async (t) => {
  for (const signal of ['SIGQUIT', 'SIGALRM'] as const) {
    using directory = new TempDir();
    await using daemon = await Daemon.start({ directory });
    daemon.process.signal(signal);
    t.match(await daemon.process.wait(20_000), { status: 0, timedOut: false }, signal);
    t.notOk(existsSync(daemon.socket), `${signal}: the NBD socket is gone`);
    t.notOk(existsSync(daemon.control), `${signal}: the control socket is gone`);
  }
});

/** Runs its arguments on a terminal of their own, closes that when told to, and says how they ended. */
const ON_TERMINAL = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b''
while b'control socket' not in said:
    said += os.read(terminal, 4096)
os.close(terminal)
_, status = os.waitpid(pid, 0)
print('signal %d' % os.WTERMSIG(status) if os.WIFSIGNALED(status) else 'exit %d' % os.WEXITSTATUS(status))
`;

t.test(
  'a terminal that is closed ends what runs on it in order',
  { skip: skipUnless('python3') },
  async (t) => {
    for (const words of [['nbdloopd'], ['nbdloop', 'serve', 'FILE']]) {
      using directory = new TempDir();
      const image = makeSparseFile(directory.file('disk.img'), 1 << 20);
      const [program = '', ...first] = words.map((word) => (word === 'FILE' ? image : word));
      const sockets = ['--unix', directory.file('nbd.sock'), '--control', directory.file('control.sock')];
      const ended = await run(
        tool('python3'),
        ['-c', ON_TERMINAL, process.execPath, resolve('dist/bin', `${program}.js`), ...first, ...sockets],
        { timeoutMs: 60_000 },
      );
      t.match(ended, { status: 0, stdout: 'exit 0\n' }, words.join(' '));
      t.strictSame(
        readdirSync(directory.path).sort(),
        ['control.state', 'disk.img'],
        'nothing but the state is left',
      );
    }
  },
);

t.test('what the environment tells Node has no effect on the programs as they are installed', async (t) => {
  using directory = new TempDir();
  const mark = directory.file('mark');
  const hook = directory.file('hook.cjs');
  writeFileSync(hook, `require('node:fs').writeFileSync(${JSON.stringify(mark)}, '');`);
  const openssl = directory.file('openssl.cnf');
  writeFileSync(openssl, 'nodejs_conf = nowhere\n[broken\n');
  const doors: Record<string, string> = {
    NODE_OPTIONS: `--require ${hook}`,
    NODE_EXTRA_CA_CERTS: directory.file('missing.pem'),
    NODE_V8_COVERAGE: directory.file('coverage'),
    NODE_COMPILE_CACHE: directory.file('cache'),
    NODE_REDIRECT_WARNINGS: directory.file('warnings'),
    NODE_DEBUG: 'fs,net,module',
    OPENSSL_CONF: openssl,
  };
  const before = readdirSync(directory.path).sort();
  for (const program of ['nbdloopd', 'nbdlosetup', 'nbdloop', 'mount-nbdloop', 'umount-nbdloop']) {
    const file = resolve('dist/bin', `${program}.js`);
    chmodSync(file, 0o755); // as npm does for the programs of a package
    const ask = program.endsWith('mount-nbdloop') ? ['--help'] : ['--version'];
    const plain = await run(file, ask);
    for (const [name, value] of Object.entries(doors)) {
      const ended = await run(file, ask, { env: { [name]: value } });
      t.match(
        ended,
        { status: plain.status, stdout: plain.stdout, stderr: plain.stderr },
        `${program}, ${name}`,
      );
    }
    const inspected = await run(file, ask, { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } });
    t.equal(inspected.stderr, plain.stderr, `${program}: no inspector`);
  }
  t.strictSame(readdirSync(directory.path).sort(), before, 'nothing was written, and no hook ran');
});
