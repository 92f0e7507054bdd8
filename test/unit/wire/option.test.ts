import fc from 'fast-check';
import t from 'tap';
import {
  decodeClientFlags,
  decodeOptionHeader,
  encodeExportNameReply,
  encodeGreeting,
  encodeOptionReply,
} from '../../../server/wire/option.js';
import { option, u16, u32 } from '../../helpers/handshake.js';

const hex = (bytes: Buffer): string => bytes.toString('hex');
const uint32 = fc.integer({ min: 0, max: 0xffffffff });

t.test('the greeting is NBDMAGIC, IHAVEOPT, fixed newstyle and no zeroes', async (t) => {
  t.equal(hex(encodeGreeting()), `${hex(Buffer.from('NBDMAGICIHAVEOPT'))}0003`);
});

t.test('client flags are 32 bits', async (t) => {
  t.equal(decodeClientFlags(Buffer.from('80000003', 'hex')), 0x80000003);
});

t.test('an option header says option and length', async () => {
  fc.assert(
    fc.property(uint32, uint32, (number, length) => {
      const decoded = decodeOptionHeader(option(number, Buffer.alloc(0), length));
      return decoded?.option === number && decoded.length === length;
    }),
  );
});

t.test('any other magic is not an option', async (t) => {
  for (let bit = 0; bit < 64; bit++) {
    const header = option(3);
    const byte = bit >> 3;
    header[byte] = (header[byte] ?? 0) ^ (1 << (bit & 7));
    t.equal(decodeOptionHeader(header), undefined, `bit ${bit}`);
  }
});

t.test('an option reply is magic, option, type, length, data', async () => {
  fc.assert(
    fc.property(uint32, uint32, fc.uint8Array({ maxLength: 300 }), (number, type, bytes) => {
      const data = Buffer.from(bytes);
      const naive = [Buffer.from('0003e889045565a9', 'hex'), u32(number), u32(type), u32(data.length), data];
      return encodeOptionReply(number, type, data).equals(Buffer.concat(naive));
    }),
  );
});

t.test('the reply to EXPORT_NAME is size and flags, and 124 zeroes for those who want them', async () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.integer({ min: 0, max: 0xffff }), (size, flags) => {
      const bare = encodeExportNameReply(size, flags, 'no zeroes');
      const naive = Buffer.alloc(10);
      naive.writeBigUInt64BE(BigInt(size));
      u16(flags).copy(naive, 8);
      const padded = encodeExportNameReply(size, flags, 'zeroes');
      return bare.equals(naive) && padded.equals(Buffer.concat([naive, Buffer.alloc(124)]));
    }),
  );
});
