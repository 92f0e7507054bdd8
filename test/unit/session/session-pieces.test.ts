import fc from 'fast-check';
import t from 'tap';
import type { ReplyMode } from '../../../server/negotiation/outcome.js';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { ReferenceSession } from '../../helpers/reference-session.js';
import { ALLOCATION, SessionBench } from '../../helpers/session-bench.js';
import { type Ask, decodeAsk, encodeAsk } from '../../helpers/transmission-client.js';

const { READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS } = Cmd;
const MODES: readonly ReplyMode[] = ['simple', 'structured', 'extended'];
const SIZE = 1 << 18;

const stream = (mode: ReplyMode, asks: readonly Ask[]): Buffer =>
  Buffer.concat(asks.map((ask) => encodeAsk(mode, ask)));

/** BigInt and Map as JSON. */
const textOf = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}` : value instanceof Map ? [...value] : value;

const options = (mode: ReplyMode) => ({ mode, size: SIZE, contexts: mode === 'simple' ? [] : ALLOCATION });

for (const mode of MODES) {
  t.test(`${mode}: requests cut at any byte get the same replies`, async (t) => {
    const asks: Ask[] = [
      { type: WRITE, cookie: 1n, offset: 3, payload: Buffer.from('written in two pieces') },
      { type: READ, cookie: 2n, offset: 0, length: 40 },
      { type: 77, cookie: 3n },
      { type: WRITE, cookie: 4n, offset: SIZE, payload: Buffer.from('refused and drained') },
      { type: BLOCK_STATUS, cookie: 5n, offset: 0, length: SIZE },
      { type: WRITE_ZEROES, flags: CmdFlag.FUA, cookie: 6n, offset: 5, length: 4 },
      { type: FLUSH, cookie: 7n },
      { type: READ, cookie: 8n, offset: 0, length: 40 },
    ];
    const bytes = stream(mode, asks);
    const expected = new SessionBench(options(mode)).ask(...asks);
    t.equal(expected.length, asks.length);
    const differ = [];
    for (let cut = 0; cut <= bytes.length; cut++) {
      const bench = new SessionBench({ ...options(mode), inputBytes: 4096, outputBytes: 1 << 17 });
      bench.expect(...asks);
      const replies = [...bench.send(bytes.subarray(0, cut)), ...bench.send(bytes.subarray(cut))];
      if (JSON.stringify(replies, textOf) !== JSON.stringify(expected, textOf)) differ.push(cut);
    }
    t.strictSame(differ, []);
  });

  t.test(`${mode}: a long write cut anywhere is the same write`, async (t) => {
    const payload = Buffer.from(Uint8Array.from({ length: 100_000 }, (_, index) => index * 7));
    const asks: Ask[] = [
      { type: WRITE, flags: CmdFlag.FUA, cookie: 1n, offset: 999, payload },
      { type: FLUSH, cookie: 2n },
    ];
    const bytes = stream(mode, asks);
    const cuts = [...Array(40).keys(), ...Array.from({ length: 60 }, (_, index) => index * 1667 + 3096)];
    for (const cut of [...cuts, bytes.length - 33, bytes.length - 28, bytes.length - 1]) {
      const bench = new SessionBench(options(mode));
      bench.expect(...asks);
      const replies = [...bench.send(bytes.subarray(0, cut)), ...bench.send(bytes.subarray(cut))];
      const errors = replies.map(({ error }) => error);
      const isWritten = bench.memory.content.subarray(999, 100_999).equals(payload);
      if (errors.join() !== '0,0' || !isWritten) t.fail(`cut at ${cut}`, { errors, isWritten });
    }
  });

  t.test(
    `${mode}: any requests, in any pieces, held at any time, are answered as the reference says`,
    async () => {
      fc.assert(
        fc.property(sessions(mode), ({ requests, pieces, holds, ...rest }) => {
          const asks = requests.map(askOf);
          const bench = new SessionBench({ ...options(mode), ...rest });
          const reference = new ReferenceSession({
            ...{ mode, size: SIZE, contexts: mode === 'simple' ? [] : [1] },
            ...{ minimumBlock: rest.minimumBlock, readOnly: rest.readOnly },
          });
          const bytes = stream(mode, asks);
          const replies = [];
          bench.expect(...asks);
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const end = at + Math.max(pieces[turn % pieces.length] ?? 1, bytes.length >> 6);
            const hold = holds[turn % holds.length];
            bench.memory.isFrozen = hold === 'frozen';
            bench.isBlocked = hold === 'blocked';
            replies.push(...bench.send(bytes.subarray(at, end)));
            bench.memory.isFrozen = false;
            replies.push(...bench.unblock());
            at = end;
          }
          if (replies.length !== asks.length) throw new Error(`${replies.length} replies to ${asks.length}`);
          for (const [index, reply] of replies.entries()) {
            const asked = decodeAsk(mode, encodeAsk(mode, asks[index] as Ask));
            if (asked === undefined || asked === 'broken') throw new Error('not a request');
            const flaw = reference.judge(asked, reply);
            if (flaw !== undefined) throw new Error(`request ${index}: ${flaw}`);
          }
          return bench.memory.content.equals(reference.content);
        }),
        { numRuns: 300 },
      );
    },
  );
}

/** A write is described by its size and filling, so that a failure can be read. */
type Described = Ask | (Omit<Ask, 'type'> & { readonly bytes: number; readonly value: number });

const askOf = (request: Described): Ask => {
  if (!('bytes' in request)) return request;
  const { bytes, value, ...rest } = request;
  return { type: WRITE, ...rest, payload: Buffer.alloc(bytes, value) };
};

/** Sessions of a few requests, most of them sensible. */
function sessions(mode: ReplyMode) {
  const near = fc.oneof(
    { weight: 6, arbitrary: fc.nat(SIZE / 512).map((sector) => sector * 512) },
    { weight: 2, arbitrary: fc.nat(SIZE + 4096) },
    { weight: 1, arbitrary: fc.bigInt(0n, 2n ** 64n - 1n) },
  );
  const length = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 300 }).map((sectors) => sectors * 512) },
    { weight: 3, arbitrary: fc.nat(100_000) },
    { weight: 1, arbitrary: fc.bigInt(0n, mode === 'extended' ? 2n ** 64n - 1n : 2n ** 32n - 1n) },
  );
  const cookie = fc.bigInt(0n, 2n ** 64n - 1n);
  const flags = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 1, 2, 4, 8, 16) }, fc.nat(31));
  const type = fc.constantFrom(READ, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, 8, 0xffff);
  const other = fc.record({ type, flags, cookie, offset: near, length });
  const narrowed = fc
    .record({
      flags: fc.constantFrom(32, 40),
      cookie,
      offset: near,
      ids: fc.array(fc.constantFrom(1, 1, 2)),
      length,
    })
    .map(({ ids, length, ...rest }) => {
      const payload = Buffer.alloc(8 + 4 * ids.length);
      payload.writeBigUInt64BE(BigInt(length));
      for (const [index, id] of ids.entries()) payload.writeUInt32BE(id, 8 + 4 * index);
      return { type: BLOCK_STATUS, ...rest, payload };
    });
  const bytes = fc.oneof(
    fc.nat(300).map((sectors) => sectors * 512),
    fc.nat(150_000),
  );
  const write = fc.record({ flags: fc.constantFrom(0, 1), cookie, offset: near, bytes, value: fc.nat(255) });
  return fc.record({
    requests: fc.array(mode === 'extended' ? fc.oneof(other, write, narrowed) : fc.oneof(other, write), {
      minLength: 1,
      maxLength: 12,
    }),
    pieces: fc.array(fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 400_000 })), {
      minLength: 1,
      maxLength: 6,
    }),
    holds: fc.array(fc.constantFrom('none', 'none', 'frozen', 'blocked'), { minLength: 1, maxLength: 5 }),
    minimumBlock: fc.constantFrom(1, 512, 4096),
    readOnly: fc.boolean(),
    zeroCopy: fc.boolean(),
    outputBytes: fc.constantFrom(70_000, 1 << 20),
  });
}
