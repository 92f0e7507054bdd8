import { statSync } from 'node:fs';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { createControlApp, listenControl } from '../../../driver/control/server.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';
import { fakeContext } from './fake-loops.js';

async function setUp(t: Test) {
  const context = fakeContext();
  const server = await createControlApp(context);
  t.teardown(() => server.close());
  const call = async (method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, payload?: object) => {
    const response = await server.app.inject({ method, url, ...(payload === undefined ? {} : { payload }) });
    return { status: response.statusCode, body: response.body === '' ? null : response.json() };
  };
  return { context, server, call };
}

t.test('a file is bound to a free device, shown, changed and let go', async (t) => {
  const { call, context } = await setUp(t);
  const found = await call('POST', '/devices/find', { file: '/a.img', offset: 4096, readOnly: true });
  t.equal(found.status, 200);
  t.match(found.body, {
    number: 0,
    name: 'loop0',
    state: 'bound',
    file: '/a.img',
    offset: 4096,
    readOnly: true,
    node: null,
    uris: ['nbd+unix:///loop0?socket=/run/n.sock', 'nbd://127.0.0.1:10809/loop0'],
    counters: { reads: 0, inFlight: 0 },
  });
  t.match(await call('PATCH', '/devices/0', { autoclear: true }), { status: 200, body: { autoclear: true } });
  t.match(await call('PUT', '/devices/0/direct-io', { on: true }), { status: 200, body: { directIo: true } });
  t.match(await call('PUT', '/devices/0/block-size', { bytes: 4096 }), {
    status: 200,
    body: { blockSize: 4096 },
  });
  t.match(await call('PATCH', '/devices/0/backing', { file: '/b.img' }), {
    status: 200,
    body: { file: '/b.img' },
  });
  t.match(await call('GET', '/devices'), { status: 200, body: [{ name: 'loop0', file: '/b.img' }] });
  t.match(await call('DELETE', '/devices/0/backing'), { status: 200, body: { outcome: 'cleared' } });
  t.match(await call('GET', '/devices/0'), { status: 200, body: { state: 'unbound', file: null } });
  t.strictSame(context.logged, []);
});

t.test('devices are added, found and removed by number', async (t) => {
  const { call } = await setUp(t);
  t.strictSame(await call('POST', '/devices', { number: 5 }), {
    status: 201,
    body: { number: 5, name: 'loop5' },
  });
  t.match(await call('POST', '/devices'), { status: 201, body: { number: 1 } });
  t.match(await call('POST', '/devices', { number: 5 }), { status: 409, body: { errno: 'EEXIST' } });
  t.match(await call('GET', '/devices/free'), { status: 200, body: { name: 'loop5' } });
  t.match(await call('PUT', '/devices/5/backing', { file: '/a.img' }), { status: 200, body: { number: 5 } });
  t.match(await call('DELETE', '/devices/5'), { status: 409, body: { errno: 'EBUSY' } });
  t.match(await call('DELETE', '/devices/1'), { status: 204, body: null });
});

t.test('every refusal is an errno and a sentence', async (t) => {
  const { call, server } = await setUp(t);
  const cases = [
    ['GET', '/devices/7', undefined, 404, 'ENODEV'],
    ['GET', '/devices/x', undefined, 400, 'EINVAL'],
    ['GET', '/nothing', undefined, 404, 'ENOENT'],
    ['PATCH', '/devices', undefined, 405, 'EOPNOTSUPP'],
    ['POST', '/devices/find', { file: '/missing' }, 422, 'EBADF'],
    ['POST', '/devices/find', { file: 'relative' }, 400, 'EINVAL'],
    ['POST', '/devices/find', { file: '/a\u0000b' }, 400, 'EINVAL'],
    ['POST', '/devices/find', {}, 400, 'EINVAL'],
    ['POST', '/devices/find', { file: '/a', offset: -1 }, 400, 'EINVAL'],
    ['POST', '/devices/find', { file: '/a', offset: '1k' }, 400, 'EINVAL'],
    ['POST', '/devices/find', { file: '/a', readonly: true }, 400, 'EINVAL'],
    ['POST', '/devices/find', { file: '/a', readOnly: 'true' }, 400, 'EINVAL'],
    ['POST', '/devices', { number: 1.5 }, 400, 'EINVAL'],
    ['PUT', '/devices/0/block-size', { bytes: '512' }, 400, 'EINVAL'],
    ['POST', '/devices/find', { file: `/${'x'.repeat(100_000)}` }, 413, 'E2BIG'],
  ] as const;
  for (const [method, url, payload, status, errno] of cases) {
    const answer = await call(method, url, payload);
    t.equal(answer.status, status, `${method} ${url} ${JSON.stringify(payload)?.slice(0, 60)}`);
    t.strictSame(Object.keys(answer.body).sort(), ['errno', 'message']);
    t.equal(answer.body.errno, errno);
    t.ok(answer.body.message.length > 5);
  }
  for (const [type, payload] of [
    ['application/json', '{"file":'],
    ['text/plain', 'file=/a'],
    ['application/json', ''],
  ]) {
    const answer = await server.app.inject({
      method: 'POST',
      url: '/devices/find',
      headers: { 'content-type': type ?? '' },
      payload: payload ?? '',
    });
    t.ok(answer.statusCode >= 400 && answer.statusCode < 500);
    t.match(answer.json(), { errno: 'EINVAL', message: String });
  }
  t.match(await call('POST', '/devices'), { status: 201 }, 'and it goes on');
  t.match(await call('DELETE', '/devices/0/backing'), { status: 409, body: { errno: 'ENXIO' } });
  t.match(await call('DELETE', '/devices/0/backing?force=yes'), { status: 400, body: { errno: 'EINVAL' } });
  t.match(await call('POST', '/devices/0/attach'), { status: 409, body: { errno: 'ENXIO' } });
  t.match(await call('DELETE', '/devices/0/attach'), { status: 409, body: { errno: 'ENXIO' } });
});

t.test('a failure that nobody asked for is logged and answered without a stack', async (t) => {
  const { call, context } = await setUp(t);
  await context.loops.ctlAdd();
  context.loops.device(0).describe = async () => {
    throw new TypeError('undefined is not a device');
  };
  const answer = await call('GET', '/devices/0');
  t.match(answer, { status: 500, body: { errno: 'EIO', message: /undefined is not a device/ } });
  t.notMatch(answer.body.message, /at .*\.ts/);
  t.equal(context.logged.length, 1);
});

t.test('sizes beyond what a JSON number holds travel as digits', async (t) => {
  const { call, context } = await setUp(t);
  await call('POST', '/devices/find', { file: '/a.img', offset: '512', sizeLimit: '9223372036854775807' });
  t.strictSame(context.loops.device(0).calls, [
    ['configure', { file: '/a.img', offset: 512, sizeLimit: 9_223_372_036_854_775_807n }],
  ]);
});

t.test('with noOverlap a range of a file is served once', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), 1 << 20);
  const { ino, dev } = statSync(file, { bigint: true });
  const { call, context } = await setUp(t);
  const find = (body: object) => call('POST', '/devices/find', { file, noOverlap: true, ...body });
  await find({ offset: 4096, sizeLimit: 8192 });
  const device = context.loops.device(0);
  device.status = { ...device.status, backingInode: ino, backingDevice: dev };

  t.match(await find({ offset: 4096, sizeLimit: 8192 }), { status: 200, body: { number: 0 } });
  t.match(await find({ offset: 4096, sizeLimit: 8192, readOnly: true }), {
    status: 200,
    body: { number: 0 },
  });
  device.status = { ...device.status, readOnly: true };
  t.match(await find({ offset: 4096, sizeLimit: 8192, readOnly: true }), {
    status: 200,
    body: { number: 0 },
  });
  t.match(await find({ offset: 4096, sizeLimit: 8192 }), {
    status: 409,
    body: { errno: 'EEXIST', message: /read-only/ },
  });
  t.match(await find({}), { status: 409, body: { errno: 'EEXIST', message: /loop0/ } });
  t.match(await find({ offset: 12_287 }), { status: 409, body: { errno: 'EEXIST' } });
  t.match(
    await find({ offset: 12_288 }),
    { status: 200, body: { number: 1 } },
    'it begins where the other ends',
  );
  t.match(
    await find({ sizeLimit: 4096 }),
    { status: 200, body: { number: 2 } },
    'it ends where the other begins',
  );
});

t.test(
  'clearing an attached device leaves it to its last close, which is at once when nobody uses it',
  async (t) => {
    const { call, context } = await setUp(t);
    const { attachments, loops } = context;
    const bind = async (number: number) => {
      await call('POST', '/devices', { number });
      await call('PUT', `/devices/${number}/backing`, { file: '/a.img' });
      t.match(await call('POST', `/devices/${number}/attach`), {
        status: 200,
        body: { node: `/dev/nbd${number}` },
      });
    };
    await bind(0);
    t.match(await call('DELETE', '/devices/0/backing'), { body: { outcome: 'cleared' } });
    t.strictSame(attachments.calls, [['detachAtLastClose', 0]]);

    await bind(1);
    attachments.calls.length = 0;
    attachments.used.add(1);
    loops.device(1).status = { ...loops.device(1).status, openers: 1 };
    t.match(await call('DELETE', '/devices/1/backing'), { body: { outcome: 'deferred' } });
    t.strictSame(attachments.calls, [['detachAtLastClose', 1]], 'never by force');
    t.ok(attachments.attached.has(1));

    t.match(await call('DELETE', '/devices/1/backing?force=true'), { body: { outcome: 'cleared' } });
    t.ok(attachments.attached.has(1), 'the kernel stays attached to an empty device');
  },
);

t.test('a device that is down is told of, recovered or given up', async (t) => {
  const { call, context } = await setUp(t);
  const down = context.recovery.fail(5);
  context.recovery.fail(6);
  t.strictSame((await call('GET', '/devices/unrecovered')).body[0], down);
  const body = { file: '/found.img', force: true };
  t.match(await call('POST', '/devices/5/recover', body), {
    status: 200,
    body: { number: 5, state: 'bound' },
  });
  t.match(await call('POST', '/devices/5/recover'), { status: 409, body: { errno: 'EBUSY' } });
  t.match(await call('POST', '/devices/5/recover', { path: '/x' }), { status: 400 });
  t.match(await call('DELETE', '/devices/6/backing?force=true'), {
    status: 200,
    body: { outcome: 'cleared' },
  });
  t.strictSame(context.recovery.calls, [
    ['recover', 5, body],
    ['recover', 5, {}],
    ['giveUp', 6, { force: true }],
  ]);
  t.strictSame((await call('GET', '/devices/unrecovered')).body, []);
});

t.test('devices of other hosts are attached, shown and detached', async (t) => {
  const context = fakeContext();
  const { app } = await createControlApp(context);
  const post = (payload: object) => app.inject({ method: 'POST', url: '/remotes', payload });
  const made = await post({ uris: ['nbd://a/x', 'nbd://b/x'], readOnly: true, tls: { ca: '/ca.pem' } });
  t.equal(made.statusCode, 201);
  t.match(made.json(), { number: 0, node: '/dev/nbd0', state: 'attached', uri: 'nbd://a/x', readOnly: true });
  t.strictSame(context.remotes.calls, [
    ['attach', ['nbd://a/x', 'nbd://b/x'], { readOnly: true, tls: { ca: '/ca.pem' } }],
  ]);
  t.match((await app.inject('/remotes')).json(), [{ number: 0, message: null, deadTimeout: 120 }]);
  t.match((await app.inject('/remotes/0')).json(), { number: 0 });
  const gone = await post({ uris: ['nbd://a/gone'] });
  t.equal(gone.statusCode, 502);
  t.match(gone.json(), { errno: 'ECONNREFUSED' });
  for (const wrong of [
    {},
    { uris: [] },
    { uris: ['nbd://a'], tls: { ca: 'relative' } },
    { uris: ['nbd://a'], x: 1 },
  ]) {
    t.equal((await post(wrong)).statusCode, 400, JSON.stringify(wrong));
  }
  context.remotes.used.add(0);
  t.equal((await app.inject({ method: 'DELETE', url: '/remotes/0' })).statusCode, 409);
  t.equal((await app.inject({ method: 'DELETE', url: '/remotes/0?force=true' })).statusCode, 204);
  t.equal((await app.inject('/remotes/0')).statusCode, 404);
});

t.test('a smaller file is not taken over under a user of the node, unless force is given', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), 4096);
  const { call, context } = await setUp(t);
  await call('POST', '/devices/find', { file });
  await call('POST', '/devices/0/attach');
  context.attachments.used.add(0);
  t.match(await call('POST', '/devices/0/capacity'), {
    status: 409,
    body: { errno: 'EBUSY', message: /in use \(mounted on \/mnt\)/ },
  });
  t.match(await call('POST', '/devices/0/capacity?force=true'), { status: 200 });
  t.strictSame(context.attachments.calls, [['resized', 0, 1 << 20]]);
});

t.test('changes are streamed as they happen, to each reader', async (t) => {
  using dir = new TempDir();
  const context = fakeContext();
  const server = await listenControl(context, dir.file('c.sock'));
  const reader = connect(dir.file('c.sock'));
  let text = '';
  reader.on('data', (chunk) => {
    text += String(chunk);
  });
  const seen = (pattern: RegExp) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (pattern.test(text)) resolve();
        else reader.once('data', look);
      };
      look();
    });
  reader.write('GET /events HTTP/1.1\r\nhost: x\r\n\r\n');
  await seen(/: subscribed/);
  t.equal(context.loops.events.listenerCount('change'), 1);
  context.loops.events.emit('change', { device: 3, kind: 'bind', sequence: 9, status: { file: '/ä\n' } });
  await seen(/id: 9\nevent: bind\ndata: \{"device":3,.*\}\n\n/);
  context.remotes.events.emit('change', 4, null);
  await seen(/event: remote\ndata: \{"device":4,"kind":"remote","remote":null\}\n\n/);
  const ended = new Promise<void>((resolve) => reader.once('close', () => resolve()));
  await server.close();
  await ended;
  t.equal(context.loops.events.listenerCount('change'), 0);
});

t.test('the socket is its owner’s alone, and bytes that are not HTTP get an answer', async (t) => {
  using dir = new TempDir();
  const server = await listenControl(fakeContext(), dir.file('c.sock'));
  t.teardown(() => server.close());
  t.equal(statSync(dir.file('c.sock')).mode & 0o777, 0o600);
  const say = (words: string) =>
    new Promise<string>((resolve) => {
      const socket = connect(dir.file('c.sock'), () => socket.end(words));
      let answer = '';
      socket.on('data', (chunk) => {
        answer += String(chunk);
      });
      socket.once('close', () => resolve(answer));
    });
  t.match(await say('hello\r\n\r\n'), /^HTTP\/1\.1 400 .*"errno":"EPROTO"/s);
  t.match(await say(`GET /${'x'.repeat(40_000)} HTTP/1.1\r\n\r\n`), /^HTTP\/1\.1 431 .*"errno":"E2BIG"/s);
});

t.test('metrics are Prometheus text with the counters of every thread', async (t) => {
  const { server, context } = await setUp(t);
  await context.loops.findAndConfigure({ file: '/a.img' });
  const { laneNum, LaneNum } = await import('../../../driver/queue/slots.js');
  const numbers = new Float64Array(context.loops.device(0).queue.shared);
  numbers[laneNum(0) + LaneNum.READS] = 5;
  numbers[laneNum(3) + LaneNum.READS] = 2;
  numbers[laneNum(3) + LaneNum.LATENCY + 4] = 7;
  await context.remotes.attach(['nbd://a/x'], {});
  const response = await server.app.inject('/metrics');
  t.match(response.body, /^nbdloop_remote_state\{device="nbd0",state="attached"\} 1$/m);
  t.match(response.body, /^nbdloop_remote_state\{device="nbd0",state="waiting"\} 0$/m);
  t.match(response.body, /^nbdloop_remote_losses_total\{device="nbd0"\} 0$/m);
  t.match(response.body, /^nbdloop_remote_size_bytes\{device="nbd0"\} 1048576$/m);
  t.match(response.headers['content-type'], /^text\/plain; version=0\.0\.4/);
  t.match(response.body, /^# TYPE nbdloop_requests_total counter$/m);
  t.match(response.body, /^nbdloop_requests_total\{device="loop0",operation="read"\} 7$/m);
  t.match(response.body, /^nbdloop_device_bound\{device="loop0"\} 1$/m);
  t.match(response.body, /^nbdloop_connections 3$/m);
  t.match(response.body, /^nbdloop_request_duration_seconds_bucket\{device="loop0",le="0.000008"\} 0$/m);
  t.match(response.body, /^nbdloop_request_duration_seconds_bucket\{device="loop0",le="0.000016"\} 7$/m);
  t.match(response.body, /^nbdloop_request_duration_seconds_count\{device="loop0"\} 7$/m);
  t.match(response.body, /^process_cpu_seconds_total /m);
});

t.test('the API describes itself, and shows the lock order', async (t) => {
  const { call } = await setUp(t);
  const { body } = await call('GET', '/openapi.json');
  t.match(body.openapi, /^3\./);
  for (const path of [
    '/devices',
    '/devices/find',
    '/devices/{number}/backing',
    '/devices/{number}/attach',
    '/events',
  ]) {
    t.ok(body.paths[path], path);
  }
  t.match(await call('GET', '/lockdep'), { status: 200, body: { classes: [{ name: String }], reports: [] } });
  t.match(await call('GET', '/daemon'), { status: 200, body: { version: '1.2.3', pid: 42, connections: 3 } });
});
