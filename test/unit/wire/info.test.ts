import fc from 'fast-check';
import t from 'tap';
import {
  decodeContextRequest,
  decodeInfoRequest,
  encodeInfoBlockSize,
  encodeInfoDescription,
  encodeInfoExport,
  encodeInfoName,
  encodeMetaContext,
  encodeServer,
} from '../../../server/wire/info.js';
import { contextData, infoData, text, u16, u32 } from '../../helpers/handshake.js';

const hex = (bytes: Buffer): string => bytes.toString('hex');
const names = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((name) => !name.includes('\0'));
const uint16s = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 });

t.test('a request of INFO is read back', async () => {
  fc.assert(
    fc.property(names, uint16s, (name, items) => {
      const decoded = decodeInfoRequest(infoData(name, items));
      return decoded?.name === name && [...new Set(items)].join() === [...decoded.items].join();
    }),
  );
});

t.test('a request of a meta context option is read back', async () => {
  fc.assert(
    fc.property(names, fc.array(names, { maxLength: 8 }), (name, queries) => {
      const decoded = decodeContextRequest(contextData(name, queries));
      return decoded?.name === name && decoded.queries.join('\0') === queries.join('\0');
    }),
  );
});

t.test('a request cut at any byte, or with a byte too many, is refused', async (t) => {
  const requests = [
    [decodeInfoRequest, infoData('loop0', [0, 3, 9])],
    [decodeContextRequest, contextData('loop0', ['base:allocation', 'x-y:'])],
  ] as const;
  for (const [decode, whole] of requests) {
    t.ok(decode(whole));
    for (let length = 0; length < whole.length; length++) {
      t.equal(decode(whole.subarray(0, length)), undefined, `cut at ${length}`);
    }
    t.equal(decode(Buffer.concat([whole, Buffer.alloc(1)])), undefined, 'a byte too many');
  }
});

t.test('lengths and counts that lie are refused', async (t) => {
  t.equal(decodeInfoRequest(Buffer.concat([u32(0xffffffff), Buffer.from('loop0'), u16(0)])), undefined);
  t.equal(decodeInfoRequest(Buffer.concat([text('a'), u16(0xffff), u16(3)])), undefined);
  t.equal(decodeContextRequest(Buffer.concat([text('a'), u32(0xffffffff), text('base:')])), undefined);
  t.equal(decodeContextRequest(Buffer.concat([text('a'), u32(1), u32(9), Buffer.from('base:')])), undefined);
});

t.test('a name longer than 4096 bytes is refused', async (t) => {
  t.ok(decodeInfoRequest(infoData('n'.repeat(4096))));
  t.equal(decodeInfoRequest(infoData('n'.repeat(4097))), undefined);
  t.equal(decodeContextRequest(contextData('a', [`base:${'n'.repeat(4092)}`])), undefined);
});

t.test('no bytes make the decoders throw', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeInfoRequest(Buffer.from(bytes));
      decodeContextRequest(Buffer.from(bytes));
    }),
  );
});

t.test('items of information have the layout of the document', async (t) => {
  t.equal(hex(encodeInfoExport(0x1_0000_0200, 0x0de5)), '0000' + '0000000100000200' + '0de5');
  t.equal(hex(encodeInfoName('loop0')), `0001${hex(Buffer.from('loop0'))}`);
  t.equal(hex(encodeInfoDescription('')), '0002');
  t.equal(
    hex(encodeInfoBlockSize({ minimum: 512, preferred: 4096, maximum: 0xffffffff })),
    '0003' + '00000200' + '00001000' + 'ffffffff',
  );
});

t.test('an export in a list is its name with a length, then its description', async (t) => {
  t.equal(hex(encodeServer('é', 'x')), '00000002' + 'c3a9' + '78');
});

t.test('a meta context is its id and name', async (t) => {
  t.equal(hex(encodeMetaContext(7, 'a:b')), '00000007' + '613a62');
});
