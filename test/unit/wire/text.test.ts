import fc from 'fast-check';
import t from 'tap';
import { decodeText, encodeText } from '../../../server/wire/text.js';

t.test('text survives the round trip', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 1000 }), (text) => {
      fc.pre(!text.includes('\0') && Buffer.byteLength(text) <= 4096);
      return decodeText(encodeText(text)) === text;
    }),
  );
  t.equal(decodeText(encodeText('\ufeffname')), '\ufeffname', 'a byte order mark is a character like any');
});

t.test('text of 4096 bytes is text, of 4097 is not', async (t) => {
  t.equal(decodeText(Buffer.alloc(4096, 'a'))?.length, 4096);
  t.equal(decodeText(Buffer.alloc(4097, 'a')), undefined);
});

t.test('NUL and broken UTF-8 are not text', async (t) => {
  t.equal(decodeText(Buffer.from('a\0b')), undefined);
  for (const hex of ['ff', 'c3', 'c080', 'eda080', 'f5808080', 'e282']) {
    t.equal(decodeText(Buffer.from(hex, 'hex')), undefined, hex);
  }
});

t.test('what is encoded is always text of the protocol, also when it had to be cut', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 3000 }), fc.nat(4200), (text, padding) => {
      const encoded = encodeText('x'.repeat(padding) + text);
      return encoded.length <= 4096 && decodeText(encoded) !== undefined;
    }),
  );
});

t.test('a long text is cut before the character that does not fit', async (t) => {
  t.equal(encodeText(`${'x'.repeat(4094)}€`).length, 4094);
  t.equal(encodeText(`${'x'.repeat(4093)}€`).length, 4096);
});
