import { randomBytes } from 'node:crypto';
import t from 'tap';
import { Status } from '../../../server/session/link.js';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { ALLOCATION, SessionBench } from '../../helpers/session-bench.js';
import { type Ask, encodeAsk } from '../../helpers/transmission-client.js';

const { READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS } = Cmd;
const SIZE = 1 << 20;
const MODES = ['simple', 'structured', 'extended'] as const;

/** One of each, and large ones. */
const asks = (mode: (typeof MODES)[number]): Ask[] => [
  { type: READ, cookie: 1n, offset: 0, length: 512 },
  { type: WRITE, cookie: 2n, offset: 512, payload: Buffer.alloc(512, 2) },
  { type: WRITE, cookie: 3n, flags: CmdFlag.FUA, offset: 4096, payload: Buffer.alloc(200_000, 3) },
  { type: FLUSH, cookie: 4n },
  { type: TRIM, cookie: 5n, offset: 8192, length: 4096 },
  { type: WRITE_ZEROES, cookie: 6n, offset: 12288, length: 4096 },
  { type: CACHE, cookie: 7n, offset: 0, length: SIZE },
  { type: READ, cookie: 8n, offset: 0, length: SIZE },
  ...(mode === 'simple' ? [] : [{ type: BLOCK_STATUS, cookie: 9n, offset: 0, length: SIZE }]),
];

for (const mode of MODES) {
  t.test(`${mode}: a frozen device parks each kind of request, once, and loses none`, async (t) => {
    for (const zeroCopy of [false, true]) {
      const bench = new SessionBench({ mode, size: SIZE, contexts: ALLOCATION, zeroCopy });
      const plain = new SessionBench({ mode, size: SIZE, contexts: ALLOCATION, zeroCopy });
      for (const ask of asks(mode)) {
        bench.memory.isFrozen = true;
        t.strictSame(bench.ask(ask), [], 'not answered');
        t.equal(bench.session.status, Status.PARKED);
        t.strictSame(bench.again(), [], 'nor when it looks in vain');
        t.equal(bench.session.status, Status.PARKED);
        bench.memory.isFrozen = false;
        const [reply, ...more] = bench.again();
        t.strictSame(reply, plain.askOne(ask), 'after the thaw it is answered as ever');
        t.equal(more.length, 0);
      }
      const done = bench.memory.log.filter((call) => !call.startsWith('write '));
      t.strictSame(
        done,
        plain.memory.log.filter((call) => !call.startsWith('write ')),
        'nothing was done twice',
      );
      t.ok(bench.memory.content.equals(plain.memory.content));
    }
  });

  t.test(`${mode}: requests behind a parked one wait their turn`, async (t) => {
    const bench = new SessionBench({ mode, size: SIZE, contexts: ALLOCATION });
    bench.memory.isFrozen = true;
    t.strictSame(bench.ask(...asks(mode)), []);
    bench.memory.isFrozen = false;
    t.strictSame(
      bench.again().map(({ cookie }) => cookie),
      asks(mode).map(({ cookie }) => cookie),
    );
    t.equal(bench.unserved, 0);
  });

  t.test(`${mode}: a peer that takes nothing is answered when it does, in order, each once`, async (t) => {
    for (const zeroCopy of [false, true]) {
      const options = { mode, size: SIZE, contexts: ALLOCATION, zeroCopy, outputBytes: 70_000 };
      const bench = new SessionBench(options);
      bench.memory.fill(0, randomBytes(SIZE));
      const content = Buffer.from(bench.memory.content);
      const reads = Array.from({ length: 400 }, (_, index) => ({
        type: READ,
        cookie: BigInt(index),
        offset: index * 16,
        length: index % 5 === 0 ? 66_000 : 1000,
      }));
      bench.isBlocked = true;
      t.strictSame(bench.ask(...reads), []);
      t.ok(bench.mostKept > 0 && bench.mostKept < 300_000, 'what waits for it is bounded', {
        kept: bench.mostKept,
      });
      t.ok(bench.unserved > 0, 'and the rest is not even looked at');
      const replies = bench.unblock();
      t.strictSame(
        replies.map(({ cookie }) => Number(cookie)),
        reads.map((_, index) => index),
      );
      t.ok(
        replies.every(({ data }, index) => {
          const { offset = 0, length = 0 } = reads[index] ?? {};
          return data?.equals(content.subarray(offset, offset + length));
        }),
      );
    }
  });

  t.test(`${mode}: a write in slices parks in the middle and goes on from there`, async (t) => {
    const bench = new SessionBench({ mode, size: SIZE });
    const ask = { type: WRITE, flags: CmdFlag.FUA, offset: 100, payload: randomBytes(300_000) };
    const bytes = encodeAsk(mode, ask);
    bench.expect(ask);
    bench.send(bytes.subarray(0, 100_000));
    bench.memory.isFrozen = true;
    bench.send(bytes.subarray(100_000, 200_000));
    t.equal(bench.session.status, Status.PARKED);
    bench.memory.isFrozen = false;
    t.strictSame(bench.again(), []);
    bench.memory.isFrozen = true;
    bench.send(bytes.subarray(200_000));
    bench.memory.isFrozen = false;
    t.strictSame(
      bench.again().map(({ error }) => error),
      [0],
    );
    t.ok(bench.memory.content.subarray(100, 300_100).equals(ask.payload));
    t.equal(bench.memory.flushes, 1);
  });
}

t.test('a refused payload is drained while the device is frozen', async (t) => {
  const bench = new SessionBench({ readOnly: true });
  bench.memory.isFrozen = true;
  t.equal(bench.askOne({ type: WRITE, offset: 0, payload: randomBytes(100_000) }).error, 1);
});

t.test('DISC waits for the thaw, so that what was written is made durable', async (t) => {
  const bench = new SessionBench();
  bench.ask({ type: WRITE, offset: 0, payload: randomBytes(512) });
  bench.memory.isFrozen = true;
  bench.ask({ type: DISC });
  t.equal(bench.session.status, Status.PARKED);
  bench.memory.isFrozen = false;
  bench.again();
  t.equal(bench.session.status, Status.FINISHED);
  t.equal(bench.memory.flushes, 1);
});
