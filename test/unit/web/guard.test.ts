import t from 'tap';
import { HostNames, otherSitesRequest, strangersRequest, tokenRefusal } from '../../../driver/web/guard.js';

const LOCAL = new HostNames('127.0.0.1', ['127.0.0.1']);

t.test('a host that is not ours is refused, however it is spelt', async (t) => {
  for (const host of [
    ...['127.0.0.1:8080', 'localhost:8080', 'LOCALHOST', '[::1]:9', '127.0.0.1'],
    ...['localhost.', 'localhost.:8080', 'LocalHost.:8080', '127.0.0.1.:8080'],
    ...['[0:0:0:0:0:0:0:1]:8080', '[0000::0001]'],
  ]) {
    t.equal(strangersRequest({ host }, LOCAL), undefined, host);
  }
  for (const host of [
    'evil.example:8080',
    'localhost.evil.example',
    '127.0.0.1.evil.example:8080',
    '127.0.0.2:8080',
    'evil.example#127.0.0.1',
    'user@127.0.0.1',
    'localhost:8080:8080',
    'localhost:99999',
    'localhost:x',
    'localhost..',
    'localhost.evil.example.',
    'localhost/evil.example',
    'localhost?evil.example',
    'localhost\\\\evil.example',
    'local%68ost',
    'localhost evil.example',
    '[::2]:8080',
    '[::1',
    '::1',
    '[::ffff:10.0.0.1]',
    '2130706434',
    '',
    undefined,
  ]) {
    t.match(strangersRequest({ host }, LOCAL), { status: 421 }, String(host));
  }
});

t.test('every address may be the host where all are listened on, and no stranger’s name', async (t) => {
  const names = new HostNames('0.0.0.0', ['0.0.0.0']);
  for (const host of ['10.1.2.3:80', '[fe80::1]:80', 'localhost']) t.ok(names.has(host), host);
  t.notOk(names.has('evil.example'));
  t.ok(new HostNames('nas.lan', ['10.0.0.5']).has('nas.lan:8080'), 'the name that was asked for');
  t.notOk(new HostNames('nas.lan', ['10.0.0.5']).has('localhost'), 'which is not this address');
});

t.test('a page of another origin is refused, with or without the token', async (t) => {
  const host = '127.0.0.1:8080';
  t.equal(strangersRequest({ host, origin: 'http://127.0.0.1:8080' }, LOCAL), undefined);
  t.equal(strangersRequest({ host, origin: 'https://127.0.0.1:8080' }, LOCAL), undefined, 'a proxy with TLS');
  for (const [host, origin] of [
    ['localhost', 'http://localhost:80'],
    ['localhost:80', 'http://localhost'],
    ['localhost:443', 'https://localhost'],
    ['LOCALHOST:8080', 'http://localhost:8080'],
    ['localhost.:8080', 'http://localhost.:8080'],
    ['[0:0:0:0:0:0:0:1]:8080', 'http://[::1]:8080'],
  ] as const) {
    t.equal(strangersRequest({ host, origin }, LOCAL), undefined, `${origin} at ${host}`);
  }
  for (const origin of [
    'http://evil.example',
    'http://127.0.0.1:8081',
    'null',
    '',
    'http://127.0.0.1:8080.evil.example',
    'http://127.0.0.1',
    'https://127.0.0.1',
    'http://localhost:8080',
    'http://127.0.0.1:8080/',
    'http://127.0.0.1:8080, http://evil.example',
    'http://evil.example@127.0.0.1:8080',
    'ftp://127.0.0.1:8080',
    'chrome-extension://127.0.0.1:8080',
    'file://',
  ]) {
    t.match(strangersRequest({ host, origin }, LOCAL), { status: 403 }, origin);
  }
  for (const site of ['cross-site', 'same-site', 'what']) {
    t.match(otherSitesRequest({ 'sec-fetch-site': site }), { status: 403 }, site);
  }
  for (const site of ['same-origin', 'none'])
    t.equal(otherSitesRequest({ 'sec-fetch-site': site }), undefined);
  t.equal(otherSitesRequest({}), undefined, 'no browser');
});

t.test('the token is asked for, and only the present one counts', async (t) => {
  t.equal(tokenRefusal({ authorization: 'Bearer abc' }, 'abc'), undefined);
  t.equal(tokenRefusal({ authorization: 'bearer abc' }, 'abc'), undefined);
  for (const authorization of [undefined, '', 'abc', 'Bearer', 'Bearer ab', 'Bearer abcd', 'Basic abc']) {
    t.match(
      tokenRefusal({ authorization }, 'abc'),
      { status: 401, body: { errno: 'EACCES' } },
      String(authorization),
    );
  }
});
