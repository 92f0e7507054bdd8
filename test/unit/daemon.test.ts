import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import t from 'tap';
import { ControlClient } from '../../driver/control/client.js';
import { type DaemonOptions, startDaemon } from '../../driver/daemon.js';
import { serve } from '../../driver/index.js';
import { isPending, stuckRequest } from '../helpers/loop-bench.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';

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
  await t.rejects(startDaemon(options(dir, { listen: [{ host: '192.0.2.1', port: 0 }] })), {
    name: 'LoopError',
    errno: 'EADDRNOTAVAIL',
  });
  await t.rejects(startDaemon(options(dir, { devices: [dir.file('missing')] })), {
    errno: 'EBADF',
    message: /missing/,
  });
  t.strictSame(socketsIn(dir), []);
  const daemon = await startDaemon(options(dir));
  await daemon.drain(1000);
  t.notOk(existsSync(dir.file('data')), 'no disk was asked for');
});

t.test('a drain waits for the clear that a last close has left behind, but not for ever', async (t) => {
  for (const outcome of ['unbound', 'rundown']) {
    using dir = new TempDir();
    const daemon = await startDaemon(options(dir, { devices: [makeSparseFile(dir.file('a.img'), 4096)] }));
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
