/** A machine that is short of something: descriptors, watches, room in /run and in /tmp. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { Cmd } from '../../server/wire/constants.js';
import { Daemon } from '../helpers/daemon.js';
import { MixedSession } from '../helpers/mixed-session.js';
import { run, runOk } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipBecause, skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(200_000);
const MIB = 1 << 20;
const isRoot = process.getuid?.() === 0;

const refusals = (daemon: Daemon): string[] =>
  daemon.process.stderr.split('\n').filter((line) => line.includes('refused a connection'));

for (const limit of [256, 64]) {
  t.test(
    `with ${limit} descriptors clients are refused at the limit, and all else goes on`,
    { skip: skipUnless('prlimit') },
    async (t) => {
      using files = new TempDir();
      using directory = new TempDir();
      const image = makeSparseFile(files.file('a'), MIB);
      const under = ['prlimit', `--nofile=${limit}`];
      await using first = await Daemon.start({ directory, devices: [image], under });
      const sockets: Socket[] = [];
      const ended = new Set<Socket>();
      for (let i = 0; i < limit; i++) {
        const socket = connect(first.socket);
        socket.on('error', () => {});
        socket.on('close', () => ended.add(socket));
        socket.resume();
        sockets.push(socket);
      }
      await until('clients are turned away', async () => (ended.size > 0 ? true : undefined));
      const began = performance.now();
      t.equal((await first.client.daemon()).descriptorLimit, limit);
      t.match(await first.cliOk('nbdloop', 'status'), /loop0/);
      const { number } = await first.client.find({ file: makeSparseFile(files.file('b'), MIB) });
      await first.client.clear(number);
      for (const socket of sockets) socket.destroy();
      const lines = refusals(first);
      const seconds = Math.ceil((performance.now() - began) / 1000) + 30;
      t.ok(lines.length > 0 && lines.length <= seconds, `${lines.length} lines`);
      t.match(lines[0], new RegExp(`open files: \\d+ of ${limit} \\(RLIMIT_NOFILE, LimitNOFILE=\\)`));
      await first.kill();
      await using second = await Daemon.start({ directory, under });
      t.match(await second.client.device(0), { state: 'bound', file: image }, 'and the state is written');
    },
  );
}

t.test(
  'without a watch to be had, settings are read at a signal, and the log says so',
  { skip: isRoot ? skipUnless('unshare') : skipBecause('only root has a user namespace for sure') },
  async (t) => {
    using files = new TempDir();
    const config = files.file('config');
    writeFileSync(config, 'max-connections 64\n');
    await using daemon = await Daemon.start({
      devices: [makeSparseFile(files.file('a'), MIB)],
      args: ['--config', config],
      under: [
        ...['unshare', '--user', '--map-root-user', 'sh', '-c'],
        ...['echo 0 >/proc/sys/user/max_inotify_instances; exec "$@"', 'sh'],
      ],
    });
    t.match(daemon.process.stderr, /changes there are not noticed: send SIGHUP after them/);
    t.equal((await daemon.client.list()).length, 1);
    writeFileSync(config, 'max-connections 65\n');
    daemon.process.signal('SIGHUP');
    await daemon.process.waitForOutput(/settings were read anew/, 30_000);
  },
);

t.test(
  'with /run and /tmp full a daemon that comes after a crash serves what there was, and lets go of it',
  { skip: isRoot ? skipUnless('mount', 'umount') : skipBecause('only root can mount a file system') },
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    await runOk(tool('mount'), ['-t', 'tmpfs', '-o', 'size=512k', 'full', directory.path]);
    try {
      mkdirSync(directory.file('tmp'));
      const image = makeRandomFile(files.file('a'), MIB);
      const started = { directory, process: { env: { TMPDIR: directory.file('tmp') } } };
      await using first = await Daemon.start({ ...started, devices: [image] });
      await first.kill();
      await run('/bin/sh', ['-c', 'cat /dev/zero >"$1" 2>/dev/null', 'sh', directory.file('fill')]);
      await using second = await Daemon.start(started);
      t.match(await second.client.device(0), { state: 'bound', file: image });
      {
        await using session = await MixedSession.open(second.socket, { mode: 'structured', name: 'loop0' });
        t.equal((await session.ask({ type: Cmd.READ, offset: 0, length: 4096 })).error, 0);
      }
      t.match(await second.cliOk('nbdloop', 'status'), /loop0/);
      t.strictSame(await second.client.clear(0), { outcome: 'cleared' });
      const { number } = await second.client.find({ file: image });
      t.equal(number, 0, 'what needs no more room than before can be bound');
    } finally {
      await run(tool('umount'), ['--lazy', directory.path]);
    }
  },
);
