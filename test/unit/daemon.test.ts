import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import t from 'tap';
import { ControlClient } from '../../driver/control/client.js';
import { type DaemonOptions, startDaemon } from '../../driver/daemon.js';
import { serve } from '../../driver/index.js';
import { isPending, stuckRequest } from '../helpers/loop-bench.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';

t.setTimeout(120_000);

const options = (dir: TempDir, more: Partial<DaemonOptions> = {}): DaemonOptions => ({
  devices: [],
  listen: [],
  unix: dir.file('run', 'n.sock'),
  control: dir.file('run', 'c.sock'),
  logLevel: 'silent',
  demonstrate: false,
  ...more,
});

/** What is left of sockets and of their locks. */
const socketsIn = (dir: TempDir): string[] =>
  readdirSync(dir.file('run')).filter((name) => name !== 'c.state');

t.test('a demonstration makes a sparse disk in ./data once, and serves it', async (t) => {
  using dir = new TempDir();
  const before = process.cwd();
  process.chdir(dir.path);
  t.teardown(() => process.chdir(before));
  for (const round of ['made', 'used again']) {
    const listen = [{ host: '127.0.0.1', port: 0 }];
    const daemon = await startDaemon(options(dir, { demonstrate: true, listen }));
    const device = await new ControlClient(dir.file('run', 'c.sock')).device(0);
    t.match(device, { state: 'bound', file: dir.file('data', 'disk.img'), size: 1024 ** 3 }, round);
    t.match(daemon.uris('loop0'), [
      /^nbd\+unix:\/\/\/loop0\?socket=.*n\.sock$/,
      /^nbd:\/\/127\.0\.0\.1:\d+\/loop0$/,
    ]);
    await Promise.all([daemon.drain(1000), daemon.drain(1000)]);
    t.strictSame(readdirSync(dir.file('run')), ['c.state'], 'what a restart needs is left');
  }
  t.ok(statSync(dir.file('data', 'disk.img')).blocks < 16, 'the disk is sparse');
});

t.test('as a library it serves without any socket that was not asked for', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), 1 << 20);
  const path = dir.file('n.sock');
  {
    await using served = await serve({ files: [file], unix: path });
    t.strictSame(served.uris('loop0'), [`nbd+unix:///loop0?socket=${path}`]);
    t.match(await served.loops.device(0).describe(), { state: 'bound', file });
    t.strictSame(readdirSync(dir.path).sort(), ['a.img', 'n.sock', 'n.sock.lock']);
  }
  t.strictSame(readdirSync(dir.path), ['a.img']);
});

t.test('a start that fails leaves nothing behind, and can be made again', async (t) => {
  using dir = new TempDir();
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const { port } = other.address() as { port: number };
  await t.rejects(startDaemon(options(dir, { listen: [{ host: '127.0.0.1', port }] })), {
    name: 'LoopError',
    errno: 'EADDRINUSE',
    message: new RegExp(`127\\.0\\.0\\.1:${port}.*--listen`),
  });
  t.strictSame(socketsIn(dir), []);
  for (const host of ['0.0.0.0', '::', '192.0.2.1']) {
    await t.rejects(startDaemon(options(dir, { listen: [{ host, port: 0 }] })), {
      name: 'LoopError',
      errno: 'EPERM',
      message: /--tls-cert .*--allow NETWORK, or --insecure/,
    });
  }
  await t.rejects(startDaemon(options(dir, { unixGroup: 'no such group' })), {
    errno: 'ENOENT',
    message: /no such group/,
  });
  await t.rejects(startDaemon(options(dir, { devices: [{ file: dir.file('missing') }] })), {
    errno: 'EBADF',
    message: /missing/,
  });
  t.strictSame(socketsIn(dir), []);
  const daemon = await startDaemon(options(dir));
  await daemon.drain(1000);
  t.notOk(existsSync(dir.file('data')), 'no disk was asked for');
});

t.test('an address that no interface has yet is listened on, as at boot', async (t) => {
  using dir = new TempDir();
  const listen = [
    { host: '192.0.2.1', port: 0 },
    { host: '2001:db8::1', port: 0 },
  ];
  const daemon = await startDaemon(options(dir, { listen, allow: ['192.0.2.0/24', '2001:db8::/32'] }));
  const { tcp } = daemon.addresses;
  t.match(
    tcp,
    listen.map(({ host }) => ({ host })),
  );
  for (const { host, port } of tcp) t.ok(isListening(host, port), `${host} port ${port}`);
  await daemon.drain(1000);
});

t.test('localhost is the loopback of both families, on one port', async (t) => {
  using dir = new TempDir();
  const daemon = await startDaemon(options(dir, { listen: [{ host: 'localhost', port: 0 }] }));
  const [first, second] = daemon.addresses.tcp;
  t.match([first, second], [{ host: '127.0.0.1' }, { host: '::1' }]);
  t.equal(first?.port, second?.port);
  await daemon.drain(1000);
});

t.test("the NBD socket's mode and group are as asked, and its owner's alone by default", async (t) => {
  using dir = new TempDir();
  const closed = await startDaemon(options(dir));
  t.equal(statSync(dir.file('run', 'n.sock')).mode & 0o777, 0o600);
  await closed.drain(1000);
  const gid = process.getgid?.() ?? 0;
  const group = process.getuid?.() === 0 ? 'daemon' : String(gid);
  const shared = await startDaemon(options(dir, { unixMode: 0o660, unixGroup: group }));
  const { mode, gid: found } = statSync(dir.file('run', 'n.sock'));
  t.equal(mode & 0o777, 0o660);
  t.equal(found, group === 'daemon' ? 1 : gid);
  t.equal(statSync(dir.file('run', 'c.sock')).mode & 0o777, 0o600, 'the control socket stays closed');
  await shared.drain(1000);
});

/** True where /proc shows a socket that listens on this address. */
function isListening(host: string, port: number): boolean {
  const table = readFileSync(host.includes(':') ? '/proc/self/net/tcp6' : '/proc/self/net/tcp', 'utf8');
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return table
    .split('\n')
    .some((line) => new RegExp(`^ *\\d+: [0-9A-F]+:${hex} [0-9A-F]+:0000 0A `).test(line));
}

t.test('a drain waits for the clear that a last close has left behind, but not for ever', async (t) => {
  for (const outcome of ['unbound', 'rundown']) {
    using dir = new TempDir();
    const daemon = await startDaemon(
      options(dir, { devices: [{ file: makeSparseFile(dir.file('a.img'), 4096) }] }),
    );
    const device = daemon.loops.device(0);
    await device.loopSetStatus({ autoclear: true });
    await device.loOpen();
    const finish = stuckRequest(device);
    await device.loRelease();
    const draining = daemon.drain(outcome === 'unbound' ? 60_000 : 100);
    t.ok(await isPending(draining));
    if (outcome === 'unbound') finish();
    await draining;
    t.equal(device.state, outcome);
    if (outcome === 'rundown') finish();
    await daemon.loops.idle();
  }
});
