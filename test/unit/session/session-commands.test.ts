import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { ReplyMode } from '../../../server/negotiation/outcome.js';
import { Status } from '../../../server/session/link.js';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { PAGE } from '../../helpers/memory-backend.js';
import { ALLOCATION, SessionBench } from '../../helpers/session-bench.js';

const MODES: readonly ReplyMode[] = ['simple', 'structured', 'extended'];
const { READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES } = Cmd;
const COOKIE = 0xfedcba9876543210n;

for (const mode of MODES) {
  t.test(`${mode}: what is written is read back`, async (t) => {
    const bench = new SessionBench({ mode });
    const payload = randomBytes(5000);
    t.equal(bench.askOne({ type: WRITE, cookie: COOKIE, offset: 777, payload }).error, 0);
    const read = bench.askOne({ type: READ, cookie: COOKIE, offset: 777, length: 5000 });
    t.equal(read.cookie, COOKIE, 'the cookie comes back');
    t.ok(read.data?.equals(payload));
    t.strictSame(bench.memory.log, ['write 777 5000', 'read 777 5000'], 'a small write is one write');
  });

  t.test(`${mode}: FLUSH, TRIM, CACHE and WRITE_ZEROES reach the backend as they are`, async (t) => {
    const bench = new SessionBench({ mode });
    const range = { offset: 4096, length: 8192 };
    const replies = bench.ask(
      { type: FLUSH, cookie: 1n },
      { type: TRIM, cookie: 2n, ...range },
      { type: CACHE, cookie: 3n, ...range },
      { type: WRITE_ZEROES, cookie: 4n, ...range },
      { type: WRITE_ZEROES, flags: CmdFlag.NO_HOLE, cookie: 5n, ...range },
      { type: WRITE_ZEROES, flags: CmdFlag.FAST_ZERO, cookie: 6n, ...range },
      { type: WRITE_ZEROES, flags: CmdFlag.FAST_ZERO | CmdFlag.NO_HOLE, cookie: 7n, ...range },
    );
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]),
      [1n, 2n, 3n, 4n, 5n, 6n, 7n].map((cookie) => [cookie, 0]),
    );
    t.strictSame(bench.memory.log, [
      'flush',
      'trim 4096 8192',
      'cache 4096 8192',
      'writeZeroes punch 4096 8192',
      'writeZeroes 4096 8192',
      'writeZeroes punch fast 4096 8192',
      'writeZeroes fast 4096 8192',
    ]);
  });

  t.test(`${mode}: FUA makes what the request changed durable before the reply`, async (t) => {
    const bench = new SessionBench({ mode });
    const flags = CmdFlag.FUA;
    const range = { flags, offset: 0, length: PAGE };
    bench.ask({ type: WRITE, flags, offset: 0, payload: randomBytes(PAGE) });
    t.strictSame(bench.memory.log.splice(0), [`write 0 ${PAGE}`, 'flush']);
    bench.ask({ type: WRITE, flags, offset: 0, payload: randomBytes(200_000) });
    t.equal(bench.memory.log.at(-1), 'flush', 'a write in slices');
    t.equal(bench.memory.flushes, 1, 'is flushed once, at its end');
    bench.memory.log.length = 0;
    bench.ask({ type: TRIM, ...range }, { type: WRITE_ZEROES, ...range });
    t.strictSame(bench.memory.log.splice(0), [
      `trim 0 ${PAGE}`,
      'flush',
      `writeZeroes punch 0 ${PAGE}`,
      'flush',
    ]);
    const replies = bench.ask({ type: READ, ...range }, { type: CACHE, ...range }, { type: FLUSH, flags });
    t.strictSame(
      replies.map(({ error }) => error),
      [0, 0, 0],
      'where it means nothing it does no harm',
    );
    t.equal(bench.memory.flushes, 1, 'and costs no flush but that of FLUSH');
  });

  t.test(`${mode}: DISC makes everything durable, has no reply and ends the session`, async (t) => {
    const bench = new SessionBench({ mode });
    const replies = bench.ask(
      { type: WRITE, offset: 0, payload: randomBytes(512) },
      { type: DISC },
      { type: READ, offset: 0, length: 512 },
    );
    t.equal(replies.length, 1, 'only what comes before it is answered');
    t.equal(bench.session.status, Status.FINISHED);
    t.equal(bench.memory.flushes, 1);
  });

  t.test(`${mode}: a stream without the magic of a request ends the session`, async (t) => {
    const bench = new SessionBench({ mode });
    bench.expect({ type: FLUSH });
    t.equal(bench.askOne({ type: FLUSH }).error, 0);
    bench.send(Buffer.alloc(32, 0x25));
    t.equal(bench.session.status, Status.BROKEN);
  });
}

t.test('the header of another mode has the wrong magic', async (t) => {
  for (const [mode, header] of [
    ['extended', '25609513'],
    ['simple', '21e41c71'],
    ['structured', '21e41c71'],
  ] as const) {
    const bench = new SessionBench({ mode });
    bench.send(Buffer.concat([Buffer.from(header, 'hex'), Buffer.alloc(28)]));
    t.equal(bench.session.status, Status.BROKEN, mode);
  }
});

t.test('DISC flushes only what its own session may have changed', async (t) => {
  const reader = new SessionBench();
  reader.ask({ type: READ, offset: 0, length: 512 }, { type: DISC });
  t.equal(reader.session.status, Status.FINISHED);
  t.equal(reader.memory.flushes, 0);
  for (const type of [TRIM, WRITE_ZEROES]) {
    const bench = new SessionBench();
    bench.ask({ type, offset: 0, length: 4096 }, { type: DISC });
    t.equal(bench.memory.flushes, 1);
  }
});

t.test('DISC on a read-only session flushes nothing', async (t) => {
  const bench = new SessionBench({ readOnly: true });
  bench.ask({ type: DISC });
  t.equal(bench.session.status, Status.FINISHED);
  t.equal(bench.memory.flushes, 0);
});

t.test('extended headers: a range of more than 4 GiB is one request', async (t) => {
  const bench = new SessionBench({ mode: 'extended', size: 1 << 16, contexts: ALLOCATION });
  bench.memory.size = 2 ** 40;
  const { error, extents } = bench.askOne({ type: Cmd.BLOCK_STATUS, offset: 1 << 16, length: 2 ** 39 });
  t.equal(error, 0);
  t.strictSame(extents.get(1), [[2n ** 39n, 3]]);
});

t.test('extended headers: a write may come with or without PAYLOAD_LEN', async (t) => {
  const bench = new SessionBench({ mode: 'extended' });
  const payload = randomBytes(1000);
  t.equal(bench.askOne({ type: WRITE, flags: CmdFlag.PAYLOAD_LEN, offset: 0, payload }).error, 0);
  t.equal(bench.askOne({ type: WRITE, offset: 1000, payload }).error, 0);
  t.ok(bench.askOne({ type: READ, offset: 0, length: 2000 }).data?.equals(Buffer.concat([payload, payload])));
});
