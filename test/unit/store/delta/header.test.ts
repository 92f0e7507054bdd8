import t from 'tap';
import { countBits, isSet, maskOf, runFrom } from '../../../../driver/store/delta/blocks.js';
import { crc32c } from '../../../../driver/store/delta/crc32c.js';
import {
  blockSizeFor,
  type DeltaHeader,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  layoutFor,
} from '../../../../driver/store/delta/header.js';
import { Random } from '../../../helpers/random.js';

const HEADER: DeltaHeader = {
  ...{ sequence: 7, session: 3, uuid: '01234567-89ab-cdef-0123-456789abcdef', blockSize: 4096 },
  ...{ isClean: true, isSealed: false, isCommitting: false, virtualSize: (1 << 30) + 512 },
  ...layoutFor((1 << 30) + 512, 4096),
  base: {
    ...{
      kind: 'delta',
      path: '/srv/gold\udcff.img',
      size: (1 << 30) + 512,
      mtime: 1_795_999_891_254_759_053n,
    },
    ...{ inode: 2n ** 64n - 2n, birthTime: null, fileSystem: 'ab'.repeat(16) },
    uuid: 'ffffffff-89ab-cdef-0123-456789abcdef',
  },
};

/** The same bytes with their checksum made right. */
function sealed(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 4092)), 4092);
  return bytes;
}

t.test('the checksum is CRC-32C', (t) => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  t.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa, 'RFC 3720, B.4');
  t.end();
});

t.test('a header is read as it was written', (t) => {
  t.strictSame(decodeHeader(encodeHeader(HEADER)), HEADER);
  const raw = { ...HEADER, base: { ...HEADER.base, kind: 'raw' as const, uuid: null, birthTime: 5n } };
  t.strictSame(decodeHeader(encodeHeader(raw)), raw);
  t.end();
});

t.test('every field is bounds-checked, also under a right checksum', (t) => {
  const cases: [string, (bytes: Buffer) => unknown, RegExp][] = [
    ['magic', (b) => b.write('QFI\xfb', 0, 'latin1'), /does not begin/],
    ['version', (b) => b.writeUInt32LE(2, 8), /version 2/],
    ['header size', (b) => b.writeUInt32LE(512, 12), /4096/],
    ['block size 0', (b) => b.writeUInt32LE(0, 40), /blocks of 0/],
    ['block size that is no power', (b) => b.writeUInt32LE(5000, 40), /blocks of 5000/],
    ['block size too large', (b) => b.writeUInt32LE(131_072, 40), /blocks of/],
    ['unknown flags', (b) => b.writeUInt32LE(8, 44), /flags/],
    ['virtual size beyond 2^53', (b) => b.writeBigUInt64LE(2n ** 53n, 48), /2\^53/],
    [
      'more blocks than can be told of',
      (b) => b.writeBigUInt64LE(2n ** 52n, 48),
      /more than 2147483648 blocks/,
    ],
    ['virtual size beyond the bitmap', (b) => b.writeBigUInt64LE(2n ** 42n, 48), /too small/],
    ['bitmap offset', (b) => b.writeBigUInt64LE(4096n, 56), /bitmap elsewhere/],
    ['bitmap of half a page', (b) => b.writeBigUInt64LE(5000n, 64), /whole pages/],
    ['bitmap of nothing', (b) => b.writeBigUInt64LE(0n, 64), /whole pages/],
    ['data within the bitmap', (b) => b.writeBigUInt64LE(0n, 72), /data where/],
    ['data off its boundary', (b) => b.writeBigUInt64LE((1n << 20n) + 4096n, 72), /data where/],
    ['data far away', (b) => b.writeBigUInt64LE((2n ** 53n - 1n) & ~((1n << 20n) - 1n), 72), /2\^53/],
    ['kind of base', (b) => b.writeUInt32LE(3, 80), /kind/],
    ['path of nothing', (b) => b.writeUInt32LE(0, 84), /path of 0/],
    ['path too long', (b) => b.writeUInt32LE(4000, 84), /path of 4000/],
    ['relative path', (b) => b.write('srv', 512), /none/],
    ['zero in the path', (b) => b.writeUInt8(0, 514), /none/],
    ['something behind the path', (b) => b.writeUInt8(1, 3000), /behind/],
    ['reserved bytes', (b) => b.writeUInt8(1, 300), /reserved/],
  ];
  for (const [what, damage, fault] of cases) {
    const bytes = encodeHeader(HEADER);
    damage(bytes);
    t.match(decodeHeader(sealed(bytes)), fault, what);
  }
  const flipped = encodeHeader(HEADER);
  flipped.writeUInt8(1, 60);
  t.match(decodeHeader(flipped), /checksum/);
  t.match(decodeHeader(Buffer.alloc(100)), /cut short/);
  t.end();
});

t.test('no header makes the parser throw, or believe what can not be', (t) => {
  const random = Random.fromEnvironment('DELTA_SEED');
  t.comment(`DELTA_SEED=${random.seed}`);
  const whole = encodeHeader(HEADER);
  let taken = 0;
  for (let round = 0; round < 3000; round++) {
    const bytes = round % 3 === 0 ? random.bytes(HEADER_BYTES) : Buffer.from(whole);
    if (round % 3 === 0) whole.copy(bytes, 0, 0, 12);
    for (let count = random.below(6); count > 0; count--) {
      const at = random.pick([random.below(160), random.below(600), random.below(HEADER_BYTES)]);
      bytes.writeUInt8(random.pick([0, 1, 0x7f, 0xff, random.below(256)]), at);
    }
    const header = decodeHeader(sealed(bytes));
    if (typeof header === 'string') continue;
    taken++;
    const { blockSize, virtualSize, bitmapBytes, dataOffset } = header;
    t.ok(Number.isSafeInteger(dataOffset + virtualSize + blockSize), 'positions are exact');
    t.ok(virtualSize / blockSize <= bitmapBytes * 8 && dataOffset >= 8192 + bitmapBytes);
  }
  t.ok(taken > 100, `${taken} of them are good`);
  t.end();
});

t.test('runs, masks and counts of bits are those that one gets bit by bit', (t) => {
  const random = new Random(5);
  for (let round = 0; round < 200; round++) {
    const blocks = 1 + random.below(300);
    const words = new Int32Array(Math.ceil(blocks / 32) + 1);
    const bits = Array.from({ length: blocks }, () => false);
    for (let at = 0, value = random.chance(0.5); at < blocks; value = !value) {
      for (let left = 1 + random.below(random.pick([2, 40, 100])); left > 0 && at < blocks; left--, at++) {
        bits[at] = value;
        if (value) words[at >>> 5] = (words[at >>> 5] ?? 0) | (1 << (at & 31));
      }
    }
    const first = random.below(blocks);
    let end = first + 1;
    while (end < blocks && bits[end] === bits[first]) end++;
    t.equal(runFrom(words, first, blocks), end - first);
    t.equal(isSet(words, first), bits[first]);
    t.equal(countBits(words, blocks), bits.filter(Boolean).length);
    let mask = 0;
    const word = first >>> 5;
    for (let at = first; at < end && at >>> 5 === word; at++) mask |= 1 << (at & 31);
    t.equal(maskOf(word, first, end), mask);
  }
  t.end();
});

t.test('block numbers stay 32-bit integers: a larger disk has larger blocks, or none', (t) => {
  const TIB = 2 ** 40;
  t.strictSame([1, 8 * TIB, 8 * TIB + 1, 16 * TIB, 100 * TIB, 128 * TIB, 128 * TIB + 1].map(blockSizeFor), [
    4096,
    4096,
    8192,
    8192,
    65536,
    65536,
    undefined,
  ]);
  t.end();
});
