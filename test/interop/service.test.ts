import { lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { ControlClient } from '../../driver/control/client.js';
import { Daemon } from '../helpers/daemon.js';
import { run, start } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(120_000);

const NBDLOOPD = resolve('dist/bin/nbdloopd.js');

/**
 * A service manager in a few lines: it hands over a TCP and a Unix socket (the latter for reading only) and prints
 * what it is told. Python, since Node cannot place descriptors at fixed numbers before an exec.
 */
const MANAGER = `
import os, socket, sys
directory, program = sys.argv[1], sys.argv[2:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(directory + '/notify')
tcp = socket.socket(); tcp.bind(('127.0.0.1', 0)); tcp.listen()
ro = socket.socket(socket.AF_UNIX); ro.bind(directory + '/ro.sock'); ro.listen()
child = os.fork()
if child == 0:
    os.dup2(os.dup(tcp.fileno()), 10); os.dup2(os.dup(ro.fileno()), 11)
    os.dup2(10, 3); os.dup2(11, 4)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='nbd:nbd-ro',
                      NOTIFY_SOCKET=directory + '/notify', WATCHDOG_USEC='200000')
    os.execvp(program[0], program)
print('port', tcp.getsockname()[1], 'child', child, flush=True)
while True:
    message = notify.recv(4096).decode()
    print(message.replace('\\n', ' '), flush=True)
    if 'STOPPING=1' in message: break
print('status', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
`;

t.test(
  'a service manager’s sockets are served, and it hears of readiness, life and the end',
  { skip: skipUnless('python3', 'nbdinfo') },
  async (t) => {
    using dir = new TempDir();
    const image = makeSparseFile(dir.file('a.img'), 1 << 20);
    const options = ['--unix', dir.file('n.sock'), '--control', dir.file('c.sock'), '--device', image];
    await using manager = start(tool('python3'), [
      ...['-c', MANAGER, dir.path],
      ...[process.execPath, NBDLOOPD, ...options],
    ]);
    await manager.waitForOutput(/READY=1 STATUS=serving 1 devices MAINPID=\d+/);
    await manager.waitForOutput(/WATCHDOG=1/);
    const [, port = '', child = ''] = await manager.waitForOutput(/port (\d+) child (\d+)/);
    const info = async (uri: string) => {
      const { exports } = JSON.parse((await run(tool('nbdinfo'), ['--json', uri])).stdout);
      return exports[0];
    };
    t.match(await info(`nbd://127.0.0.1:${port}/loop0`), { 'export-size': 1 << 20, is_read_only: false });
    t.match(await info(`nbd+unix:///loop0?socket=${dir.file('ro.sock')}`), { is_read_only: true });
    t.match(await info(`nbd+unix:///loop0?socket=${dir.file('n.sock')}`), { is_read_only: false });
    const { listeners } = await new ControlClient(dir.file('c.sock')).daemon();
    t.strictSame(listeners, [
      `nbd+unix:///?socket=${dir.file('n.sock')}`,
      `nbd+unix:///?socket=${dir.file('ro.sock')}`,
      `nbd://127.0.0.1:${port}/`,
    ]);
    process.kill(Number(child), 'SIGTERM');
    await manager.waitForOutput(/STOPPING=1/);
    await manager.waitForOutput(/status 0/);
  },
);

/** Units as a package has them, installed below a directory; the programs are wherever Node is. */
function installedUnits(dir: TempDir): string[] {
  return ['nbdloopd.service', 'nbdloopd.socket', 'nbdloop@.service'].map((unit) => {
    const text = readFileSync(resolve('packaging/systemd', unit), 'utf8');
    const path = dir.file(unit.replace('@', '@one'));
    writeFileSync(path, text.replaceAll(/\/usr\/(bin|lib\/nbdloop)\/nbdlo[\w-]+/g, process.execPath));
    return path;
  });
}

t.test('the systemd units are clean', { skip: skipUnless('systemd-analyze') }, async (t) => {
  using dir = new TempDir();
  const ended = await run(tool('systemd-analyze'), ['verify', '--man=no', ...installedUnits(dir)]);
  t.match(ended, { status: 0, stdout: '', stderr: '' });
});

t.test(
  'what the units may do is as little as they need',
  { skip: skipUnless('systemd-analyze') },
  async (t) => {
    using dir = new TempDir();
    for (const [unit, most] of [
      // Of 100: it has files anywhere, block devices, CAP_SYS_ADMIN for the kernel's devices, and compiles at run time.
      ['nbdloopd.service', 45],
      ['nbdloop@one.service', 35],
    ] as const) {
      const path = installedUnits(dir).find((one) => one.endsWith(unit)) ?? '';
      const args = ['security', '--offline=true', `--threshold=${most}`, path];
      const { status, stdout } = await run(tool('systemd-analyze'), args);
      t.equal(status, 0, unit, { stdout: stdout.split('\n').at(-2) });
    }
  },
);

t.test(
  'units: mounts are between the daemon’s start and its end, and restarts are not counted',
  async (t) => {
    const unit = (name: string): string => readFileSync(resolve('packaging/systemd', name), 'utf8');
    for (const name of ['nbdloopd.service', 'nbdloop@.service']) {
      t.match(unit(name), /^Before=remote-fs-pre\.target$/m, name);
      t.match(unit(name), /^Wants=remote-fs-pre\.target$/m, name);
    }
    t.match(unit('nbdloopd.service'), /^StartLimitIntervalSec=0$/m);
    t.match(unit('nbdloopd.service'), /^RestartSec=1$/m);
  },
);

t.test('what is installed is where a system looks for it', async (t) => {
  using dir = new TempDir();
  const { status } = await run(resolve('packaging/install'), ['--destdir', dir.path]);
  t.equal(status, 0);
  for (const path of [
    'sbin/mount.nbdloop',
    'sbin/umount.nbdloop',
    'usr/bin/nbdloopd',
    'usr/lib/systemd/system/nbdloop@.service',
    'usr/lib/udev/rules.d/61-nbdloop.rules',
    'usr/share/man/man8/mount.nbdloop.8',
    'etc/nbdloop',
  ]) {
    t.ok(lstatSync(dir.file(path), { throwIfNoEntry: false }), path);
  }
  const mount = await run(dir.file('usr/bin/mount.nbdloop'), ['--help']);
  t.match(mount, { status: 0, stdout: /mount -t nbdloop/ });
  t.match(await run(resolve('packaging/install'), ['--what']), { status: 1, stderr: /--destdir/ });
});

/** OpenRC's word for it: systemd is asked where it runs, which is hidden here. */
const ON_A_MACHINE_THAT = (level: string): string[] => [
  ...[tool('unshare'), '-m', 'sh', '-c'],
  `mount -t tmpfs run /run && mkdir /run/openrc && echo ${level} >/run/openrc/softlevel && exec "$@"`,
  'sh',
];

t.test(
  'a daemon that is to leave everything to the next one leaves nothing where the machine goes down',
  { skip: process.getuid?.() === 0 ? skipUnless('unshare', 'setpriv') : 'only root makes name spaces' },
  async (t) => {
    using files = new TempDir();
    for (const [level, handover] of [
      ['default', true],
      ['shutdown', false],
    ] as const) {
      await using daemon = await Daemon.start({
        under: ON_A_MACHINE_THAT(level),
        // What the first leaves keeps its file for a while.
        devices: [makeSparseFile(files.file(level), 1 << 20)],
        args: ['--handover'],
      });
      t.match(await daemon.stop(), { status: 0 });
      t.match(daemon.process.stderr, `"handover":${handover},"machineEnds":${!handover}`, level);
    }
  },
);
