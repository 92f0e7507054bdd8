import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { Journal } from '../../../driver/web/journal.js';
import { WebServer } from '../../../driver/web/web-server.js';
import { TempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';
import { fakeContext } from '../control/fake-loops.js';

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: object;
}

async function setUp(t: Test) {
  const dir = new TempDir();
  t.teardown(() => dir[Symbol.dispose]());
  mkdirSync(dir.file('page', 'assets'), { recursive: true });
  writeFileSync(dir.file('page', 'index.html'), '<!doctype html><title>nbdloop</title>');
  writeFileSync(dir.file('page', 'assets', 'x-1234.js'), 'export {};');
  writeFileSync(dir.file('page', 'assets', 'x-1234.js.gz'), 'compressed');
  const context = fakeContext();
  const journal = new Journal(context.loops);
  const start = () =>
    WebServer.start(context, {
      ...{ host: '127.0.0.1', port: 0, insecure: false, journal, onFailure: 'reject' },
      ...{ stateDirectory: dir.path, assets: pathToFileURL(`${dir.file('page')}/`) },
    });
  const server = await start();
  t.teardown(() => server.close());
  const { origin, token } = server.address();
  const bearer = { authorization: `Bearer ${token}` };
  const ask = (path: string, { method = 'GET', headers = {}, body }: Asked = {}) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const sent: ClientRequest = request(new URL(path, origin), {
        ...{ method, agent: false, setHost: headers.host === undefined },
        headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      });
      sent.once('response', resolve).once('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const answer = async (path: string, asked: Asked = {}) => {
    const response = await ask(path, asked);
    const text = await response.setEncoding('utf8').toArray();
    return { status: response.statusCode, headers: response.headers, text: text.join('') };
  };
  return { context, dir, server, start, journal, origin, bearer, ask, answer };
}

t.test('the page is there for everybody, its API for who has the token', async (t) => {
  const { answer, bearer, context } = await setUp(t);
  await context.loops.findAndConfigure({ file: '/a.img' });
  const page = await answer('/');
  t.equal(page.status, 200);
  t.match(page.headers['content-type'], /^text\/html/);
  const policy = String(page.headers['content-security-policy']);
  t.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
  t.notMatch(policy, /unsafe|\*|http/);
  t.match(page.headers, { 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' });
  const script = await answer('/assets/x-1234.js', { headers: { 'accept-encoding': 'gzip, br' } });
  t.match(script, { status: 200, text: 'compressed', headers: { 'content-encoding': 'gzip' } });
  t.match(script.headers['cache-control'], /immutable/);
  for (const path of [
    '/api/devices',
    '/%61pi/devices',
    '/api/daemon',
    '/api/events',
    '/metrics',
    '/api/history',
  ]) {
    t.match(await answer(path), { status: 401, headers: { 'www-authenticate': 'Bearer' } }, path);
  }
  t.match(await answer('/api/devices', { headers: bearer }), { status: 200, text: /"file":"\/a.img"/ });
  t.match(await answer('/metrics', { headers: bearer }), { status: 200, text: /nbdloop_connections 3/ });
  t.match(await answer('/api/devices/0/history?tier=coarse', { headers: bearer }), {
    status: 200,
    text: /"period":60000/,
  });
  t.match(await answer('/api/devices/9/history', { headers: bearer }), { status: 404, text: /ENODEV/ });
  t.match(
    await answer('/api/handover', { method: 'POST', headers: bearer }),
    { status: 404 },
    'not for a page',
  );
  t.match(await answer('/api/web', { headers: bearer }), { status: 404 });
  t.match(await answer('/../../package.json'), { status: 404 });
});

t.test(
  'writes of other sites and by names of others change nothing, with the token or without',
  async (t) => {
    const { answer, bearer, context, origin } = await setUp(t);
    const bind = { method: 'POST', body: { file: '/etc/shadow' } };
    const host = new URL(origin).host;
    const tries: [number, Record<string, string>][] = [
      [401, {}],
      [401, { authorization: 'Bearer wrong' }],
      [403, { ...bearer, origin: 'http://evil.example' }],
      [403, { ...bearer, origin: 'null' }],
      [403, { ...bearer, origin: `${origin}1` }],
      [403, { ...bearer, 'sec-fetch-site': 'cross-site' }],
      [421, { ...bearer, host: 'evil.example' }],
      [421, { ...bearer, host: `evil.example:${new URL(origin).port}`, origin: `http://evil.example` }],
    ];
    for (const [status, headers] of tries) {
      t.match(await answer('/api/devices/find', { ...bind, headers }), { status }, JSON.stringify(headers));
    }
    const plain = await answer('/api/devices', {
      method: 'OPTIONS',
      headers: { origin: 'http://evil.example' },
    });
    t.equal(plain.status, 403);
    t.equal(plain.headers['access-control-allow-origin'], undefined);
    t.match(await answer('/', { headers: { host: 'evil.example' } }), { status: 421 }, 'not even the page');
    t.equal(context.loops.all.length, 0, 'nothing was made');
    const own = { ...bearer, origin, host, 'sec-fetch-site': 'same-origin' };
    t.match(await answer('/api/devices/find', { ...bind, headers: own }), { status: 200 });
  },
);

t.test('a new token ends what the old one began; a daemon that is started again keeps it', async (t) => {
  const { answer, ask, bearer, server, start, dir } = await setUp(t);
  const again = await start();
  t.equal(again.address().token, server.address().token);
  await again.close();
  const stream = await ask('/api/events', { headers: bearer });
  await server.renewToken();
  await stream.toArray();
  t.match(await answer('/api/devices', { headers: bearer }), { status: 401, text: /nbdloop web/ });
  const { token } = server.address();
  t.match(await answer('/api/devices', { headers: { authorization: `Bearer ${token}` } }), { status: 200 });
  t.equal(readFileSync(dir.file('web-token'), 'latin1').trim(), token);
});

/** The events of a stream as they come. */
function reading(stream: IncomingMessage) {
  const seen: { id: string | undefined; event: string | undefined; data: Record<string, unknown> }[] = [];
  let rest = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    const blocks = (rest + chunk).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const data = field('data');
      if (data !== undefined) seen.push({ id: field('id'), event: field('event'), data: JSON.parse(data) });
    }
  });
  return seen;
}

t.test('no event is lost or told twice by a reader that comes back', async (t) => {
  const { ask, bearer, context } = await setUp(t);
  const numbers = (seen: ReturnType<typeof reading>) =>
    seen
      .filter(({ event }) => event === 'device')
      .map(({ data }) => (data.event as { device: number }).device);
  const emit = (device: number) =>
    context.loops.events.emit('change', { device, kind: 'change', sequence: device, status: {} });
  for (let device = 0; device < 3; device++) emit(device);
  const first = await ask('/api/events', { headers: bearer });
  const before = reading(first);
  await until('three events came', async () => numbers(before).length === 3 || undefined);
  t.match(before[0], { event: 'hello', data: { resumed: false, missed: 0, daemon: { pid: 42 } } });
  first.destroy();
  for (let device = 3; device < 2000; device++) emit(device);
  const lastId = before.findLast(({ id }) => id !== undefined)?.id ?? '';
  const second = await ask('/api/events', { headers: { ...bearer, 'last-event-id': lastId } });
  const after = reading(second);
  await until('the rest came', async () => numbers(after).at(-1) === 1999 || undefined);
  t.match(after[0], { event: 'hello', data: { resumed: true, missed: 0 } });
  t.strictSame(
    [...numbers(before), ...numbers(after)],
    Array.from({ length: 2000 }, (_, device) => device),
  );
  t.ok(after.some(({ event }) => event === 'sample'));
  second.destroy();
  const third = await ask('/api/events', { headers: { ...bearer, 'last-event-id': '0123456789ab.7' } });
  const anew = reading(third);
  await until('all of this daemon came', async () => numbers(anew).length === 2000 || undefined);
  t.match(anew[0], { event: 'hello', data: { resumed: false, missed: null } }, 'the id is another daemon’s');
  third.destroy();
});

t.test('other machines are let in only where that was said', async (t) => {
  using dir = new TempDir();
  const context = fakeContext();
  const options = {
    ...{ host: '0.0.0.0', port: 0, journal: new Journal(context.loops), onFailure: 'reject' as const },
    ...{ stateDirectory: dir.path, assets: pathToFileURL(`${dir.path}/`) },
  };
  await t.rejects(WebServer.start(context, { ...options, insecure: false }), /could be reached/);
  const open = await WebServer.start(context, { ...options, insecure: true });
  t.match(open.address().url, /^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}$/);
  const { port } = new URL(open.address().origin);
  const taken = WebServer.start(context, {
    ...options,
    host: '127.0.0.1',
    port: Number(port),
    insecure: false,
  });
  await t.rejects(taken, /another program listens/);
  await open.close();
});
