import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import t from 'tap';
import { Status } from '../../../server/session/link.js';
import { WHOLE_WRITE } from '../../../server/session/writes.js';
import { Cmd, CmdFlag, WireErrno } from '../../../server/wire/constants.js';
import { PAGE } from '../../helpers/memory-backend.js';
import { SessionBench } from '../../helpers/session-bench.js';
import { encodeAsk } from '../../helpers/transmission-client.js';

const { READ, WRITE } = Cmd;
const { errno } = constants;

/** Where each write of the log began and how long it was. */
const writes = (bench: SessionBench): number[][] =>
  bench.memory.log
    .filter((call) => call.startsWith('write '))
    .map((call) => call.split(' ').slice(1).map(Number));

t.test('a write of 64 KiB waits until all of it is there, and is one write', async (t) => {
  const bench = new SessionBench();
  const ask = { type: WRITE, offset: 100, payload: randomBytes(WHOLE_WRITE) };
  const bytes = encodeAsk('simple', ask);
  bench.expect(ask);
  bench.send(bytes.subarray(0, -1));
  t.strictSame(bench.memory.log, []);
  t.equal(bench.send(bytes.subarray(-1)).length, 1);
  t.strictSame(writes(bench), [[100, WHOLE_WRITE]]);
});

t.test('a longer write is written as it arrives, cut at pages of the device', async (t) => {
  const bench = new SessionBench();
  const ask = { type: WRITE, offset: 1000, payload: randomBytes(500_000) };
  const bytes = encodeAsk('simple', ask);
  bench.expect(ask);
  const replies = [];
  for (let at = 0; at < bytes.length; at += 33_333)
    replies.push(...bench.send(bytes.subarray(at, at + 33_333)));
  t.strictSame(
    replies.map(({ error }) => error),
    [0],
    'one reply',
  );
  t.ok(writes(bench).length > 5, 'several pieces');
  let next = 1000;
  for (const [offset = 0, length = 0] of writes(bench)) {
    t.equal(offset, next, 'each begins where the last one ended');
    next += length;
    if (next !== 501_000) t.equal(next % PAGE, 0, 'and ends on a page');
  }
  t.equal(next, 501_000);
  t.ok(bench.memory.content.subarray(1000, 501_000).equals(ask.payload));
});

t.test('a write that fails midway is drained, answered with the error, and not tried again', async (t) => {
  for (const mode of ['simple', 'structured', 'extended'] as const) {
    const bench = new SessionBench({ mode, inputBytes: 64 << 10 });
    bench.backend.fault = (operation, offset) =>
      operation === 'write' && offset >= 256 << 10 ? errno.ENOSPC : 0;
    const flags = CmdFlag.FUA;
    const replies = bench.ask(
      { type: WRITE, flags, cookie: 1n, offset: 0, payload: randomBytes(600_000) },
      { type: READ, cookie: 2n, offset: 0, length: 512 },
    );
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]),
      [
        [1n, WireErrno.ENOSPC],
        [2n, 0],
      ],
    );
    t.equal(bench.memory.flushes, 0, 'what failed is not flushed');
    t.ok(writes(bench).every(([offset = 0]) => offset < 256 << 10));
  }
});

t.test(
  'a device that is cleared while a payload arrives answers EIO and the connection goes on',
  async (t) => {
    const bench = new SessionBench();
    const ask = { type: WRITE, offset: 0, payload: randomBytes(400_000) };
    const bytes = encodeAsk('simple', ask);
    bench.expect(ask);
    bench.send(bytes.subarray(0, 200_000));
    bench.memory.isBound = false;
    t.strictSame(
      bench.send(bytes.subarray(200_000)).map(({ error }) => error),
      [WireErrno.EIO],
    );
    bench.memory.isBound = true;
    t.equal(bench.askOne({ type: READ, offset: 0, length: 512 }).error, 0);
  },
);

t.test('a long write gives others a turn', async (t) => {
  const bench = new SessionBench({ size: 8 << 20, inputBytes: 8 << 20 });
  const ask = { type: WRITE, offset: 0, payload: randomBytes(7 << 20) };
  bench.expect(ask);
  const statuses = new Set<number>();
  const serve = bench.session.serve.bind(bench.session);
  bench.session.serve = (...args) => {
    const served = serve(...args);
    statuses.add(bench.session.status);
    return served;
  };
  t.equal(bench.send(encodeAsk('simple', ask)).length, 1);
  t.ok(statuses.has(Status.OPEN));
  t.ok(bench.memory.content.subarray(0, 7 << 20).equals(ask.payload));
});

t.test('many small requests give others a turn', async (t) => {
  const bench = new SessionBench();
  let turns = 0;
  const serve = bench.session.serve.bind(bench.session);
  bench.session.serve = (...args) => {
    turns++;
    return serve(...args);
  };
  const reads = Array.from({ length: 2000 }, (_, i) => ({
    type: READ,
    cookie: BigInt(i),
    offset: i,
    length: 1,
  }));
  t.equal(bench.ask(...reads).length, 2000, 'all of them are answered');
  t.ok(turns >= 7, 'in several turns', { turns });
});
