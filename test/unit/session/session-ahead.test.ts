/** The first bytes of a lone reply, sent before the request is carried out. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import t from 'tap';
import { HEAD_START } from '../../../server/pace/head-start.js';
import { Cmd, WireErrno } from '../../../server/wire/constants.js';
import { type BenchOptions, SessionBench } from '../../helpers/session-bench.js';
import type { Ask } from '../../helpers/transmission-client.js';

const { READ, WRITE, FLUSH, TRIM } = Cmd;
const { EAGAIN, EIO, ENOSPC } = constants.errno;
const SIZE = 1 << 20;
const BLOCK = 4096;
const MODES = ['simple', 'structured', 'extended'] as const;

const read = (block: number): Ask => ({
  type: READ,
  cookie: BigInt(block),
  offset: block * BLOCK,
  length: BLOCK,
});
const write = (block: number, payload = randomBytes(BLOCK)): Ask => ({
  type: WRITE,
  cookie: BigInt(block + 1000),
  offset: block * BLOCK,
  payload,
});

/** Milliseconds that a client takes, as the session's clock tells. */
const { now } = performance;
let clock = 0;
t.before(() => {
  performance.now = () => clock;
});
t.teardown(() => {
  performance.now = now;
});

/** A bench whose client has asked one thing at a time for long enough, and is as fast with a head start as without. */
function proven(options: BenchOptions): { readonly bench: SessionBench; readonly content: Buffer } {
  const bench = new SessionBench({ size: SIZE, isAlone: true, ...options });
  const content = randomBytes(SIZE);
  bench.memory.fill(0, content);
  bench.memory.batchLimit = 64;
  for (let i = 0; i < HEAD_START.first + 2 * (HEAD_START.lap + HEAD_START.runUp); i++) bench.ask(read(1));
  bench.ahead.length = 0;
  bench.memory.log.length = 0;
  return { bench, content };
}

const magics = { simple: 0x67446698, structured: 0x668e33ef, extended: 0x6e8a278c };

for (const mode of MODES) {
  t.test(`${mode}: a lone read or write is begun to be answered before it is carried out`, async (t) => {
    const { bench, content } = proven({ mode });
    t.ok(bench.askOne(read(3)).data?.equals(content.subarray(3 * BLOCK, 4 * BLOCK)));
    const payload = randomBytes(BLOCK);
    t.equal(bench.askOne(write(3, payload)).error, 0);
    t.ok(bench.askOne(read(3)).data?.equals(payload));
    const ofWrite = mode === 'structured' ? magics.simple : magics[mode];
    t.strictSame(
      bench.ahead.map(({ magic }) => magic),
      [magics[mode], ofWrite, magics[mode]],
    );
    t.strictSame(
      bench.ahead.map(({ calls }) => calls),
      [0, 2, 4],
      'before the batch and what it does',
    );
  });

  t.test(`${mode}: an error is still told, and the session goes on`, async (t) => {
    const { bench, content } = proven({ mode });
    for (const [errno, wire] of [
      [EIO, WireErrno.EIO],
      [ENOSPC, WireErrno.ENOSPC],
    ] as const) {
      bench.memory.undone.set(0, errno);
      t.equal(bench.askOne(read(2)).error, wire);
      t.equal(bench.askOne(write(2)).error, wire);
      bench.memory.undone.clear();
      t.equal(bench.ahead.length, 2);
      t.ok(bench.askOne(read(2)).data?.equals(content.subarray(2 * BLOCK, 3 * BLOCK)));
      bench.ahead.length = 0;
    }
    t.equal(bench.askOne({ type: READ, offset: SIZE, length: BLOCK }).error, WireErrno.EINVAL);
    t.equal(bench.askOne({ type: WRITE, offset: SIZE, payload: Buffer.alloc(512) }).error, WireErrno.ENOSPC);
    t.strictSame(bench.ahead, [], 'what is refused has none');
    t.equal(bench.memory.inFlight, 0);
  });

  t.test(`${mode}: a read that must wait after all lets others pass, whatever they are`, async (t) => {
    for (const other of [read(5), write(5), write(SIZE / BLOCK), { type: TRIM, offset: 0, length: BLOCK }]) {
      const { bench, content } = proven({ mode, operations: 4 });
      bench.memory.undone.set(0, EAGAIN);
      t.strictSame(bench.ask(read(7)), []);
      bench.memory.undone.clear();
      t.equal(bench.ahead.length, 1);
      const passed = bench.askOne(other);
      t.equal(passed.cookie, other.cookie ?? 0n);
      t.equal(passed.error, other.offset === SIZE ? WireErrno.ENOSPC : 0);
      t.equal(bench.ahead.length, 1, 'no second one while it waits');
      const [late] = bench.end();
      t.ok(late?.data?.equals(content.subarray(7 * BLOCK, 8 * BLOCK)));
      t.equal(bench.askOne(write(6)).error, 0);
      t.equal(bench.ahead.length, 2);
      t.equal(bench.memory.inFlight, 0);
    }
  });

  t.test(`${mode}: several pass it together, whatever comes of each`, async (t) => {
    for (const undone of [[], [0], [1], [0, 1], [0, 1, 2]]) {
      for (const errno of [EAGAIN, EIO]) {
        for (const asks of [
          [read(5), write(6), read(8)],
          [write(5), read(6), write(8)],
        ]) {
          const { bench, content } = proven({ mode, operations: 8 });
          bench.memory.undone.set(0, EAGAIN);
          t.strictSame(bench.ask(read(7)), []);
          bench.memory.undone.clear();
          // A write does not wait.
          const fails = new Map(undone.map((at) => [at, asks[at]?.type === WRITE ? EIO : errno]));
          for (const [at, error] of fails) bench.memory.undone.set(at, error);
          const replies = bench.ask(...asks);
          const late = [...fails.values()].filter((error) => error === EAGAIN).length;
          t.equal(replies.length, 3 - late);
          for (const { cookie, error } of replies) {
            const at = asks.findIndex((ask) => ask.cookie === cookie);
            t.equal(error, fails.has(at) ? WireErrno.EIO : 0);
          }
          const ended = Array.from({ length: late + 1 }, () => bench.end()).flat();
          t.equal(ended.length, late + 1);
          const first = ended.find(({ cookie }) => cookie === 7n);
          t.ok(first?.data?.equals(content.subarray(7 * BLOCK, 8 * BLOCK)));
          bench.memory.undone.clear();
          t.equal(bench.askOne(write(9)).error, 0);
        }
      }
    }
  });

  t.test(`${mode}: a read that waits in place is answered as it should`, async (t) => {
    const { bench, content } = proven({ mode });
    bench.memory.undone.set(0, EAGAIN);
    t.ok(bench.askOne(read(7)).data?.equals(content.subarray(7 * BLOCK, 8 * BLOCK)));
    t.equal(bench.ahead.length, 1);
  });

  t.test(`${mode}: not for several, not for what is no small read or write`, async (t) => {
    const { bench } = proven({ mode });
    t.equal(bench.ask(read(1), read(2)).length, 2);
    t.equal(bench.askOne({ type: FLUSH }).error, 0);
    t.equal(bench.askOne({ type: READ, offset: 0, length: SIZE }).error, 0);
    t.equal(bench.askOne({ type: TRIM, offset: 0, length: BLOCK }).error, 0);
    bench.isBlocked = true;
    t.strictSame(bench.ask(read(1)), []);
    t.equal(bench.unblock().length, 1);
    t.strictSame(bench.ahead, []);
  });
}

t.test('not where others are served by the thread', async (t) => {
  const { bench } = proven({ mode: 'structured' });
  bench.session.isAlone = false;
  bench.askOne(read(1));
  t.strictSame(bench.ahead, []);
});

t.test('not before a client has asked for a while', async (t) => {
  const bench = new SessionBench({ mode: 'structured', size: SIZE, isAlone: true });
  bench.memory.batchLimit = 64;
  for (let i = 0; i < HEAD_START.first; i++) bench.ask(read(1));
  t.strictSame(bench.ahead, []);
  bench.ask(read(1));
  t.equal(bench.ahead.length, 1);
});

t.test('a client that is slower with it has none, but to see whether that is still so', async (t) => {
  const bench = new SessionBench({ mode: 'structured', size: SIZE, isAlone: true });
  bench.memory.batchLimit = 64;
  const ask = (times: number): number => {
    const before = bench.ahead.length;
    for (let i = 0; i < times; i++) {
      const seen = bench.ahead.length;
      bench.ask(read(1));
      clock += bench.ahead.length > seen ? 0.025 : 0.02;
    }
    return bench.ahead.length - before;
  };
  ask(HEAD_START.first + 6 * (HEAD_START.lap + HEAD_START.runUp) + 1);
  t.equal(ask(HEAD_START.maxHold - 1), 0);
  const looked = ask(6 * (HEAD_START.lap + HEAD_START.runUp));
  t.ok(looked >= HEAD_START.lap && looked < 4 * HEAD_START.lap, `${looked} to see`);
});
