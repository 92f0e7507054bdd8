import t from 'tap';
import { nameFromBytes, nameToBytes, readableName } from '../../driver/file-name.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

t.test('a name in UTF-8 is that text', async (t) => {
  for (const name of [
    '',
    '/a b',
    '/é',
    '/日本',
    '/\u{1f600}',
    '/\ufffd',
    '/\u0000\u007f\u07ff\uffff\u{10ffff}',
  ]) {
    t.equal(nameFromBytes(Buffer.from(name, 'utf8')), name);
    t.same(nameToBytes(name), Buffer.from(name, 'utf8'));
    t.equal(readableName(name), name);
  }
});

t.test('a byte that is no UTF-8 is a surrogate of its own', async (t) => {
  t.equal(nameFromBytes(bytes('a\xe9.img')), 'a\udce9.img');
  t.equal(nameFromBytes(bytes('\xc3\xa9\xe9')), 'é\udce9', 'behind a character');
  t.equal(nameFromBytes(bytes('\xe6\x97')), '\udce6\udc97', 'a character that is cut off');
  t.equal(nameFromBytes(bytes('\xed\xa0\x80')), '\udced\udca0\udc80', 'a surrogate in UTF-8 is none');
  t.equal(nameFromBytes(bytes('\xc0\xaf\xff')), '\udcc0\udcaf\udcff', 'too long a form');
  t.equal(readableName('/a\udce9.img'), '/a\\xe9.img');
});

t.test('every name comes back byte for byte, also through JSON', async (t) => {
  const names = [
    bytes('/\xf0\x9f\x98\xc3\xa9\x80'),
    Buffer.from(Array.from({ length: 255 }, (_, i) => i + 1)),
  ];
  // All pairs of a leading and a following byte, and each with a continuation behind.
  for (let first = 0x80; first < 0x100; first++) {
    names.push(Buffer.from(Array.from({ length: 128 }, (_, i) => [first, 0x80 + i, 0x2f]).flat()));
    names.push(Buffer.from(Array.from({ length: 128 }, (_, i) => [first, 0x80 + i, 0xbf, 0x80]).flat()));
  }
  const lost = names.filter((name) => !nameToBytes(nameFromBytes(name)).equals(name));
  t.strictSame(lost, []);
  const through = (name: Buffer): Buffer => nameToBytes(JSON.parse(JSON.stringify(nameFromBytes(name))));
  t.strictSame(
    names.filter((name) => !through(name).equals(name)),
    [],
  );
});
