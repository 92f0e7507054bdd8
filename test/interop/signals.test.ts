import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
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
