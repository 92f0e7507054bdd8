import { chmodSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { loadTls } from '../../../server/tls/tls-settings.js';
import { selfSigned } from '../../helpers/certificates.js';
import { TempDir } from '../../helpers/temp.js';
import { skipUnless } from '../../helpers/tools.js';

t.test('no file named is no TLS', async (t) => {
  t.equal(loadTls({}), undefined);
});

t.test('halves of a setting are refused in a sentence', async (t) => {
  t.throws(() => loadTls({ cert: '/c' }), { errno: 'EINVAL', message: /certificate and its private key/ });
  t.throws(() => loadTls({ key: '/k' }), { errno: 'EINVAL', message: /certificate and its private key/ });
  t.throws(() => loadTls({ ca: '/a' }), { errno: 'EINVAL', message: /certificate of its own/ });
});

t.test('a file that is not there, or not readable, is named with its errno', async (t) => {
  using dir = new TempDir();
  t.throws(() => loadTls({ psk: dir.file('none') }), { errno: 'ENOENT', message: /none cannot be read/ });
  const secret = dir.file('secret');
  writeFileSync(secret, 'alice:00');
  chmodSync(secret, 0);
  if (process.getuid?.() !== 0) {
    t.throws(() => loadTls({ psk: secret }), { errno: 'EACCES', message: /secret/ });
  }
  t.throws(() => loadTls({ psk: dir.path }), { errno: 'EISDIR', message: dir.path });
});

t.test('a key file with a bad line, or with none, is refused', async (t) => {
  using dir = new TempDir();
  const file = dir.file('keys');
  writeFileSync(file, 'alice:00\nbob\n');
  t.throws(() => loadTls({ psk: file }), { errno: 'EINVAL', message: /line 2 of .*keys/ });
  writeFileSync(file, '\n');
  t.throws(() => loadTls({ psk: file }), { errno: 'EINVAL', message: /no key/ });
});

t.test(
  'certificates that do not parse or do not fit are refused',
  { skip: skipUnless('openssl') },
  async (t) => {
    using dir = new TempDir();
    const [one, other] = [await selfSigned(dir, 'one'), await selfSigned(dir, 'other')];
    const junk = dir.file('junk');
    writeFileSync(junk, 'not PEM');
    t.ok(loadTls(one));
    t.ok(loadTls({ ...one, ca: other.cert })?.requestCert);
    t.throws(() => loadTls({ cert: one.cert, key: other.key }), {
      errno: 'EINVAL',
      message: /TLS cannot use/,
    });
    t.throws(() => loadTls({ cert: junk, key: one.key }), { errno: 'EINVAL', message: /junk/ });
  },
);
