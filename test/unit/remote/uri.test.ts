import t from 'tap';
import { LoopError } from '../../../driver/errno.js';
import { looksLikeUri, parseUri, placeText } from '../../../driver/remote/uri.js';

const placeOf = (uri: string): unknown => parseUri(uri).place;
const refusal = (uri: string): string => {
  try {
    parseUri(uri);
  } catch (error) {
    if (error instanceof LoopError && error.errno === 'EINVAL') return error.message;
    throw error;
  }
  return '';
};

t.test('places, with the port of the protocol unless told', async (t) => {
  t.strictSame(placeOf('nbd://host'), { kind: 'tcp', host: 'host', port: 10_809 });
  t.strictSame(placeOf('nbds://10.0.0.1:77/x'), { kind: 'tcp', host: '10.0.0.1', port: 77 });
  t.strictSame(placeOf('nbd://[fe80::1]:78/x'), { kind: 'tcp', host: 'fe80::1', port: 78 });
  t.strictSame(placeOf('nbd+unix:///?socket=/run/a+b%20c.sock'), { kind: 'unix', path: '/run/a+b c.sock' });
  t.equal(placeText(parseUri('nbd://[::1]')), '[::1]:10809');
  t.equal(placeText(parseUri('nbds+unix:///x?socket=/s')), '/s');
});

t.test('names of exports, with every byte that a URI can carry', async (t) => {
  t.equal(parseUri('nbd://host').exportName, '');
  t.equal(parseUri('nbd://host/').exportName, '');
  t.equal(parseUri('nbd://host/a%20b%2Fc').exportName, 'a b/c');
  t.equal(parseUri('nbd://host//a').exportName, '/a');
  t.equal(parseUri('nbd+unix:///loop0?socket=/s').exportName, 'loop0');
});

t.test('TLS parameters as libnbd takes them', async (t) => {
  const uri = 'nbds://alice@host/x?tls-psk-file=/k&tls-hostname=h&tls-verify-peer=false&tls-certificates=/d';
  const { tls, parameters } = parseUri(uri);
  t.equal(tls, true);
  t.strictSame(parameters, {
    ...{ certificates: '/d', pskFile: '/k', user: 'alice', hostname: 'h', verifyPeer: false },
  });
  t.strictSame(parseUri('nbd://host').parameters, {});
});

t.test('what is wrong is said', async (t) => {
  const cases = {
    'http://host': 'the scheme must be',
    'nbd:host': '// must follow',
    'nbd://host/x?socket=/s': 'belongs to nbd+unix',
    'nbd+unix:///x': 'names no socket',
    'nbd+unix:///x?socket=s': 'must be absolute',
    'nbd+unix://host/x?socket=/s': 'has no host',
    'nbd:///x': 'names no host',
    'nbd://a:b@host': 'no password',
    'nbd://host/a#b': 'is written %23',
    'nbd://host/%zz': 'is written %25',
    'nbds://host?tls-psk-file=k': 'absolute path',
    'not a uri': 'not a URI',
  };
  for (const [uri, why] of Object.entries(cases)) t.match(refusal(uri), why, uri);
});

t.test('what looks like a URI', async (t) => {
  for (const word of ['nbd://h', 'NBDS://h', 'nbd+unix:///x']) t.ok(looksLikeUri(word), word);
  for (const word of ['nbd0', '/dev/nbd0', 'loop0', 'disk']) t.notOk(looksLikeUri(word), word);
});
