import fc from 'fast-check';
import t from 'tap';
import {
  decodeExtendedRequest,
  decodeRequest,
  encodeRequest,
  Request,
} from '../../../server/wire/request.js';
import { encodeAsk } from '../../helpers/transmission-client.js';

const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffff_ffff);
const u64 = fc.oneof(
  fc.bigInt(0n, 2n ** 64n - 1n),
  fc.bigInt(0n, 2n ** 53n),
  fc.constantFrom(2n ** 53n, 2n ** 32n),
);
const before = fc.nat(40);

const FORMS = [
  { mode: 'simple', decode: decodeRequest, span: 28, length: u32.map(BigInt) },
  { mode: 'extended', decode: decodeExtendedRequest, span: 32, length: u64 },
] as const;

for (const { mode, decode, span, length } of FORMS) {
  t.test(`${mode} headers are read as the naive twin wrote them, at any place`, async () => {
    const headers = fc.record({ flags: u16, type: u16, cookie: u64, offset: u64, length });
    fc.assert(
      fc.property(headers, before, (header, at) => {
        const bytes = Buffer.concat([Buffer.alloc(at, 0xaa), encodeAsk(mode, header)]);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        const request = new Request();
        return (
          decode(view, at, request) &&
          request.flags === header.flags &&
          request.type === header.type &&
          (BigInt(request.cookieHigh) << 32n) + BigInt(request.cookieLow) === header.cookie &&
          (BigInt(request.offsetHigh) << 32n) + BigInt(request.offsetLow) === header.offset &&
          request.offset === Number(header.offset) &&
          request.length === Number(header.length)
        );
      }),
    );
  });

  t.test(`${mode} headers are written as the naive twin writes them`, async () => {
    const offset = fc.bigInt(0n, 2n ** 53n - 1n);
    const exact = mode === 'simple' ? u32.map(BigInt) : offset;
    fc.assert(
      fc.property(fc.record({ flags: u16, type: u16, cookie: u64, offset, length: exact }), (header) =>
        encodeRequest(
          {
            flags: header.flags,
            type: header.type,
            cookieHigh: Number(header.cookie >> 32n),
            cookieLow: Number(header.cookie & 0xffff_ffffn),
            offset: Number(header.offset),
            length: Number(header.length),
          },
          mode === 'simple' ? 'compact' : 'extended',
        ).equals(encodeAsk(mode, header)),
      ),
    );
  });

  t.test(`${mode} headers: a request overwrites all that the one before left`, async (t) => {
    const request = new Request();
    for (const fill of [0xff, 0]) {
      const bytes = encodeAsk(mode, { type: 0 });
      bytes.fill(fill, 4);
      decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, request);
    }
    t.strictSame(new Set(Object.values(request)), new Set([0]));
  });

  t.test(`${mode} headers: any other magic is refused, and none shorter is read`, async (t) => {
    const bytes = encodeAsk(mode, { type: 0 });
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    t.ok(decode(view, 0, new Request()));
    for (let bit = 0; bit < 32; bit++) {
      const index = bit >> 3;
      const mask = 1 << (bit & 7);
      bytes.writeUInt8(bytes.readUInt8(index) ^ mask, index);
      t.notOk(decode(view, 0, new Request()), `bit ${bit}`);
      bytes.writeUInt8(bytes.readUInt8(index) ^ mask, index);
    }
    for (let length = 0; length < span; length++) {
      t.throws(
        () => decode(new DataView(bytes.buffer, bytes.byteOffset, length), 0, new Request()),
        RangeError,
      );
    }
  });
}
