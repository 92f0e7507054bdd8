import fc from 'fast-check';
import t from 'tap';
import { Magic } from '../../../server/wire/constants.js';
import {
  goOnFrom,
  putExtendedHeader,
  putSimpleReply,
  putStructuredHeader,
  putUint64,
} from '../../../server/wire/reply.js';

const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffff_ffff);
const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
const exact = fc.oneof(
  fc.bigInt(0n, 2n ** 53n - 1n),
  fc.constantFrom(0n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n),
);
const places = fc.nat(40);

/** What a request leaves for its replies. */
const repliedTo = (cookie: bigint, offset: bigint) => ({
  cookieHigh: Number(cookie >> 32n),
  cookieLow: Number(cookie & 0xffff_ffffn),
  offsetHigh: Number(offset >> 32n),
  offsetLow: Number(offset & 0xffff_ffffn),
});

const hex = (value: number | bigint, bytes: number): string => value.toString(16).padStart(2 * bytes, '0');

/** True when `put` writes exactly these bytes at `at`, and says how many they are. */
function writes(at: number, expected: string, put: (view: DataView) => number): boolean {
  const memory = Buffer.alloc(100, 0xaa);
  const written = put(new DataView(memory.buffer, memory.byteOffset, memory.length));
  const end = at + expected.length / 2;
  return (
    at + written === end &&
    memory.subarray(at, end).toString('hex') === expected &&
    memory.subarray(0, at).every((byte) => byte === 0xaa) &&
    memory.subarray(end).every((byte) => byte === 0xaa)
  );
}

t.test('a simple reply is magic, error and cookie', async () => {
  fc.assert(
    fc.property(places, u32, u64, (at, error, cookie) =>
      writes(at, `67446698${hex(error, 4)}${hex(cookie, 8)}`, (view) =>
        putSimpleReply(view, at, error, repliedTo(cookie, 0n)),
      ),
    ),
  );
});

t.test('a structured chunk is magic, flags, type, cookie and length', async () => {
  fc.assert(
    fc.property(places, u16, u16, u64, u32, (at, flags, type, cookie, length) =>
      writes(at, `668e33ef${hex(flags, 2)}${hex(type, 2)}${hex(cookie, 8)}${hex(length, 4)}`, (view) =>
        putStructuredHeader(view, at, flags, type, length, repliedTo(cookie, 0n)),
      ),
    ),
  );
});

t.test('an extended chunk has the offset of the request, to the last bit, and a long length', async () => {
  fc.assert(
    fc.property(places, u16, u16, u64, u64, exact, (at, flags, type, cookie, offset, length) => {
      const fields = [hex(flags, 2), hex(type, 2), hex(cookie, 8), hex(offset, 8), hex(length, 8)];
      return writes(at, `6e8a278c${fields.join('')}`, (view) =>
        putExtendedHeader(view, at, flags, type, Number(length), repliedTo(cookie, offset)),
      );
    }),
  );
});

t.test('a number below 2^53 is written as u64', async () => {
  fc.assert(
    fc.property(places, exact, (at, value) =>
      writes(at, hex(value, 8), (view) => {
        putUint64(view, at, Number(value));
        return 8;
      }),
    ),
  );
});

t.test('behind a magic number that was sent ahead the stream goes on as if nothing had been', async () => {
  const view = new DataView(new ArrayBuffer(64));
  const sent = (magic: number, length: number): string => {
    const ahead = Buffer.alloc(4);
    ahead.writeUInt32BE(magic);
    const start = goOnFrom(magic, view);
    return Buffer.concat([ahead, new Uint8Array(view.buffer, start, length - start)]).toString('hex');
  };
  fc.assert(
    fc.property(u64, u64, u32, u32, u16, u16, (cookie, offset, error, length, flags, type) => {
      const to = repliedTo(cookie, offset);
      const { SIMPLE_REPLY, STRUCTURED_REPLY, EXTENDED_REPLY } = Magic;
      const forms = [
        [SIMPLE_REPLY, () => putSimpleReply(view, 0, error, to)],
        [STRUCTURED_REPLY, () => putStructuredHeader(view, 0, flags, type, length, to)],
        [EXTENDED_REPLY, () => putExtendedHeader(view, 0, flags, type, length, to)],
      ] as const;
      return forms.every(([magic, put]) => {
        const bytes = put();
        const whole = Buffer.from(view.buffer, 0, bytes).toString('hex');
        return sent(magic, bytes) === whole;
      });
    }),
  );
  fc.assert(
    fc.property(u64, (cookie) => {
      const to = repliedTo(cookie, 0n);
      putStructuredHeader(view, 0, 1, 0, 0, to);
      const chunk = Buffer.from(view.buffer, 0, 20).toString('hex');
      return sent(Magic.STRUCTURED_REPLY, putSimpleReply(view, 0, 0, to)) === chunk;
    }),
    { examples: [[0n], [2n ** 64n - 1n]] },
  );
});
