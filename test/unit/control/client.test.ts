import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { ControlClient, defaultRunDirectory } from '../../../driver/control/client.js';
import { listenControl } from '../../../driver/control/server.js';
import { TempDir } from '../../helpers/temp.js';
import { fakeContext } from './fake-loops.js';

t.test('every operation reaches the daemon and brings its answer', async (t) => {
  using dir = new TempDir();
  const context = fakeContext();
  const server = await listenControl(context, dir.file('c.sock'));
  t.teardown(() => server.close());
  const client = new ControlClient(dir.file('c.sock'));

  t.match(await client.daemon(), { pid: 42 });
  t.strictSame(await client.list(), []);
  t.match(await client.add(3), { number: 3, name: 'loop3' });
  t.match(await client.add(), { name: 'loop1' });
  t.match(await client.free(), { number: 3 });
  t.match(await client.configure(3, { file: '/a.img' }), { state: 'bound' });
  t.match(await client.find({ file: '/b.img', sizeLimit: '1024' }), { number: 1, sizeLimit: 1024 });
  t.match(await client.settings(3, { partscan: true }), { partscan: true });
  t.match(await client.directIo(3, true), { directIo: true });
  t.match(await client.blockSize(3, 4096), { blockSize: 4096 });
  t.match(await client.changeFile(3, '/c.img'), { file: '/c.img' });
  t.match(await client.capacity(3, { force: true }), { number: 3 });
  t.match(await client.attach(3, { connections: 2 }), { node: '/dev/nbd3' });
  t.match(await client.detach(3), { node: null });
  t.match(await client.device(3), { file: '/c.img' });
  t.match(await client.clear(3, { force: true }), { outcome: 'cleared' });
  await client.remove(3);
  t.match(await client.lockdep(), { reports: [] });
  t.match(await client.metrics(), /nbdloop_connections 3/);
  await t.rejects(client.device(3), {
    name: 'ControlError',
    errno: 'ENODEV',
    message: 'there is no device loop3',
  });
});

t.test('events arrive in order until the daemon ends or the caller does', async (t) => {
  using dir = new TempDir();
  const context = fakeContext();
  const server = await listenControl(context, dir.file('c.sock'));
  const client = new ControlClient(dir.file('c.sock'));
  const { events } = context.loops;
  const abort = new AbortController();
  const seen: number[] = [];
  const reading = (async () => {
    for await (const event of client.events(abort.signal)) {
      if (event.kind === 'remote') continue;
      seen.push(event.sequence);
      if (event.sequence === 3) return;
    }
  })();
  const unread = client.events(abort.signal).next();
  while (events.listenerCount('change') < 2) await new Promise(setImmediate);
  for (const sequence of [1, 2, 3])
    events.emit('change', { device: 0, kind: 'change', sequence, status: {} });
  await reading;
  t.strictSame(seen, [1, 2, 3]);
  t.match(await unread, { done: false, value: { sequence: 1 } });
  abort.abort();
  while (events.listenerCount('change') > 0) await new Promise(setImmediate);
  const last = client.events().next();
  while (events.listenerCount('change') < 1) await new Promise(setImmediate);
  await server.close();
  t.strictSame(await last, { done: true, value: undefined });
});

t.test('a daemon that is not there, or is something else, is one plain sentence', async (t) => {
  using dir = new TempDir();
  const path = dir.file('c.sock');
  await t.rejects(new ControlClient(path).list(), {
    errno: 'ENOENT',
    message: /no nbdloopd is listening on/,
  });
  const answers = ['HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno', 'SSH-2.0\r\n', ''];
  const other = createServer((socket) => socket.once('data', () => socket.end(answers.shift() ?? '')));
  other.listen(path);
  await once(other, 'listening');
  t.teardown(() => other.close());
  await t.rejects(new ControlClient(path).list(), { errno: 'EPROTO', message: /status 500/ });
  await t.rejects(new ControlClient(path).list(), { message: /talking to nbdloopd at .* failed/ });
  await t.rejects(new ControlClient(path).list(), { message: /talking to nbdloopd at .* failed/ });
});

t.test('the run directory is root’s, the session’s, or the user’s own', async (t) => {
  t.equal(defaultRunDirectory({ XDG_RUNTIME_DIR: '/run/user/7' }, 0), '/run/nbdloop');
  t.equal(defaultRunDirectory({ XDG_RUNTIME_DIR: '/run/user/7' }, 7), '/run/user/7/nbdloop');
  t.equal(defaultRunDirectory({}, 7), '/tmp/nbdloop-7');
});
