import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import t from 'tap';
import { Cmd, WireErrno } from '../../../server/wire/constants.js';
import { type BenchOptions, SessionBench } from '../../helpers/session-bench.js';

const { READ, WRITE, FLUSH } = Cmd;
const { EAGAIN, EIO, ENOSPC } = constants.errno;
const SIZE = 1 << 20;
const BLOCK = 4096;
const MODES = ['simple', 'structured', 'extended'] as const;

/** A bench that carries out batches, on a device full of data. */
function filled(options: BenchOptions & { readonly batchLimit?: number }): {
  bench: SessionBench;
  content: Buffer;
} {
  const bench = new SessionBench({ size: SIZE, ...options });
  const content = randomBytes(SIZE);
  bench.memory.fill(0, content);
  bench.memory.batchLimit = options.batchLimit ?? 64;
  return { bench, content };
}

const read = (block: number) => ({
  type: READ,
  cookie: BigInt(block + 1),
  offset: block * BLOCK,
  length: BLOCK,
});
const write = (block: number, payload: Buffer) => ({
  type: WRITE,
  cookie: BigInt(block + 1001),
  offset: block * BLOCK,
  payload,
});
const reads = (count: number) => Array.from({ length: count }, (_, block) => read(block));
const blockOf = (content: Buffer, block: number): Buffer =>
  content.subarray(block * BLOCK, (block + 1) * BLOCK);

for (const mode of MODES) {
  t.test(`${mode}: what arrives together is carried out together, in order`, async (t) => {
    const { bench, content } = filled({ mode });
    const payload = randomBytes(BLOCK);
    const replies = bench.ask(read(0), write(1, payload), read(1), read(2));
    t.equal(bench.memory.log[0], 'batch 4');
    t.strictSame(
      replies.map(({ error }) => error),
      [0, 0, 0, 0],
    );
    t.ok(replies[0]?.data?.equals(blockOf(content, 0)));
    t.ok(replies[2]?.data?.equals(payload), 'what was written before it');
    t.ok(replies[3]?.data?.equals(blockOf(content, 2)));
    t.equal(bench.memory.inFlight, 0);
    t.equal(bench.memory.observed, 4, 'each one counts for the latencies');
  });

  t.test(`${mode}: an error comes in place of its own data only`, async (t) => {
    const { bench, content } = filled({ mode });
    bench.memory.undone.set(1, EIO).set(3, ENOSPC);
    const replies = bench.ask(read(0), read(1), read(2), write(3, randomBytes(BLOCK)), read(4));
    t.strictSame(
      replies.map(({ error }) => error),
      [0, WireErrno.EIO, 0, WireErrno.ENOSPC, 0],
    );
    for (const at of [0, 2, 4]) t.ok(replies[at]?.data?.equals(blockOf(content, at)), `block ${at}`);
    t.equal(bench.memory.inFlight, 0);
    t.equal(bench.memory.observed, 5);
    bench.memory.undone.clear();
    t.ok(bench.askOne(read(1)).data?.equals(blockOf(content, 1)), 'the session goes on');
  });

  t.test(`${mode}: what was left undone and is done in place leaves the replies as they are`, async (t) => {
    const { bench, content } = filled({ mode });
    bench.memory.undone.set(0, 0).set(2, 0);
    const replies = bench.ask(...reads(3));
    for (const [at, { error, data }] of replies.entries()) {
      t.equal(error, 0);
      t.ok(data?.equals(blockOf(content, at)), `block ${at}`);
    }
  });

  t.test(`${mode}: a read that would wait is started, and its reply comes when it is done`, async (t) => {
    const { bench, content } = filled({ mode, operations: 4 });
    bench.memory.undone.set(0, EAGAIN).set(2, EAGAIN);
    const replies = bench.ask(...reads(4));
    t.strictSame(
      replies.map(({ cookie }) => cookie),
      [2n, 4n],
      'the others do not wait',
    );
    t.equal(bench.memory.started, 2);
    t.strictSame(bench.handedOver, [1, 2], 'each is handed over at once');
    t.equal(bench.memory.inFlight, 2, 'counted in until they end');
    t.equal(bench.memory.observed, 2);
    const [first] = bench.end();
    const [second] = bench.end();
    t.ok(first?.data?.equals(blockOf(content, 0)));
    t.ok(second?.data?.equals(blockOf(content, 2)));
    t.equal(bench.memory.inFlight, 0);
    t.equal(bench.memory.observed, 4);
  });

  t.test(`${mode}: where nothing can be started a read waits in place`, async (t) => {
    const { bench, content } = filled({ mode });
    bench.memory.undone.set(1, EAGAIN);
    const replies = bench.ask(...reads(3));
    t.equal(replies.length, 3);
    for (const [at, { data }] of replies.entries()) t.ok(data?.equals(blockOf(content, at)), `block ${at}`);
    t.equal(bench.memory.inFlight, 0);
  });

  t.test(`${mode}: what is refused is answered in its turn`, async (t) => {
    const { bench, content } = filled({ mode });
    const replies = bench.ask(
      read(0),
      { type: READ, cookie: 77n, offset: SIZE, length: BLOCK },
      { type: 99, cookie: 78n, offset: 0, length: BLOCK },
      write(SIZE / BLOCK, randomBytes(BLOCK)),
      read(1),
    );
    t.strictSame(
      replies.map(({ error }) => error),
      [0, WireErrno.EINVAL, WireErrno.EINVAL, WireErrno.ENOSPC, 0],
    );
    t.ok(replies[4]?.data?.equals(blockOf(content, 1)));
    t.equal(bench.memory.inFlight, 0);
  });

  t.test(`${mode}: replies that do not fit are sent before more is read`, async (t) => {
    for (const outputBytes of [5000, 12_000, 40_000]) {
      const { bench, content } = filled({ mode, outputBytes });
      bench.memory.undone.set(0, EIO);
      const replies = bench.ask(...reads(16));
      t.equal(replies.length, 16, `${outputBytes} bytes`);
      for (const [at, { error, data }] of replies.entries()) {
        if (error === 0) t.ok(data?.equals(blockOf(content, at)), `block ${at}`);
        else t.equal(error, WireErrno.EIO);
      }
      t.equal(bench.memory.inFlight, 0);
    }
  });

  t.test(`${mode}: a frozen device has nothing carried out`, async (t) => {
    const { bench, content } = filled({ mode });
    bench.memory.isFrozen = true;
    t.strictSame(bench.ask(...reads(3)), []);
    t.strictSame(bench.memory.log, []);
    bench.memory.isFrozen = false;
    const replies = bench.again();
    for (const [at, { data }] of replies.entries()) t.ok(data?.equals(blockOf(content, at)), `block ${at}`);
    t.equal(replies.length, 3);
  });
}

t.test('a FLUSH comes after the writes that came before it', async (t) => {
  const { bench } = filled({});
  bench.ask(write(0, randomBytes(BLOCK)), write(1, randomBytes(BLOCK)), { type: FLUSH, cookie: 5n });
  t.strictSame(bench.memory.log, ['batch 2', 'write 0 4096', 'write 4096 4096', 'flush']);
});

t.test('more requests than a batch holds are several', async (t) => {
  const { bench, content } = filled({ batchLimit: 4 });
  const replies = bench.ask(...reads(10));
  t.equal(replies.length, 10);
  for (const [at, { data }] of replies.entries()) t.ok(data?.equals(blockOf(content, at)), `block ${at}`);
  const sizes = bench.memory.log.filter((call) => call.startsWith('batch'));
  t.ok(sizes.length >= 2 && sizes[0] === 'batch 4', sizes.join());
});

t.test('a peer that does not read is owed what was carried out, and no more is', async (t) => {
  const { bench, content } = filled({ outputBytes: 9000 });
  bench.isBlocked = true;
  t.strictSame(bench.ask(...reads(8)), []);
  const carriedOut = bench.memory.log.filter((call) => call.startsWith('read')).length;
  t.ok(carriedOut > 0 && carriedOut < 8, `${carriedOut} reads`);
  const replies = bench.unblock();
  t.equal(replies.length, 8);
  for (const [at, { data }] of replies.entries()) t.ok(data?.equals(blockOf(content, at)), `block ${at}`);
});

t.test(
  'replies leave after 16 requests; the first ones after 4 where the peer will soon have none left',
  async (t) => {
    for (const [hasten, batches] of [
      [false, ['batch 16', 'batch 16', 'batch 8']],
      [true, ['batch 4', 'batch 16', 'batch 16', 'batch 4']],
    ] as const) {
      const { bench, content } = filled({ mode: 'structured' });
      bench.session.hasten = hasten;
      const replies = bench.ask(...reads(40));
      t.strictSame(
        bench.memory.log.filter((entry) => entry.startsWith('batch')),
        batches,
      );
      const wrong = replies.filter(({ data }, at) => !data?.equals(blockOf(content, at)));
      t.equal(wrong.length, 0);
      t.equal(replies.length, 40);
    }
  },
);
