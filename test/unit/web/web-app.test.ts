import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { Journal } from '../../../driver/web/journal.js';
import { WebServer } from '../../../driver/web/web-server.js';
import { TempDir } from '../../helpers/temp.js';
import { fakeContext } from '../control/fake-loops.js';
import { servePage } from './served-page.js';

t.test('the page is there for everybody, its API for who has the token', async (t) => {
  const { answer, bearer, context } = await servePage(t);
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

t.test('the token counts in one place alone', async (t) => {
  const { answer, server } = await servePage(t);
  const { token } = server.address();
  const places: [string, Record<string, string>][] = [
    [`/api/devices?token=${token}`, {}],
    [`/api/devices?access_token=${token}`, {}],
    [`/api/events?token=${token}`, {}],
    ['/api/devices', { cookie: `token=${token}` }],
    ['/api/devices', { 'x-token': token }],
    ['/api/devices', { 'proxy-authorization': `Bearer ${token}` }],
    ['/api/devices', { authorization: token }],
    ['/api/devices', { authorization: `Basic ${Buffer.from(`:${token}`).toString('base64')}` }],
    ['/api/devices', { authorization: `Bearer ${token}, Bearer ${token}` }],
    ['/api/devices', { authorization: `Bearer "${token}"` }],
    ['/api/devices', { authorization: `Bearer ${token.toLowerCase()}.` }],
  ];
  for (const [path, headers] of places) {
    t.match(await answer(path, { headers }), { status: 401 }, `${path} ${JSON.stringify(headers)}`);
  }
});

t.test(
  'writes of other sites and by names of others change nothing, with the token or without',
  async (t) => {
    const { answer, bearer, context, origin } = await servePage(t);
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
  const { answer, ask, bearer, server, start, dir } = await servePage(t);
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
