import { randomBytes } from 'node:crypto';
import t from 'tap';
import { Status } from '../../../server/session/link.js';
import { MAX_PER_CONNECTION } from '../../../server/session/operations.js';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { type BenchOptions, SessionBench } from '../../helpers/session-bench.js';

const { READ, WRITE, FLUSH, DISC, TRIM } = Cmd;
const { FUA } = CmdFlag;
const MODES = ['simple', 'structured', 'extended'] as const;

/** A session on a device in memory whose operations end when told. */
const bench = (options: BenchOptions & { readonly isDirect?: boolean }): SessionBench => {
  const made = new SessionBench({ operations: 256, ...options });
  made.memory.isDirect = options.isDirect ?? false;
  return made;
};

for (const mode of MODES) {
  t.test(`${mode}: what was started is answered when it is done, in whatever order`, async (t) => {
    const made = bench({ mode, isDirect: true });
    const payload = randomBytes(4096);
    made.memory.fill(8192, payload);
    const asks = [
      { type: READ, cookie: 1n, offset: 8192, length: 4096 },
      { type: WRITE, cookie: 2n, offset: 0, payload },
      { type: FLUSH, cookie: 3n },
    ];
    t.strictSame(made.ask(...asks), []);
    t.equal(made.memory.started, 3);
    t.strictSame(
      made.end({ last: true }).map(({ cookie }) => cookie),
      [3n],
    );
    const [read] = made.end();
    t.equal(read?.cookie, 1n);
    t.ok(read?.data?.equals(payload));
    t.strictSame(
      made.end().map(({ cookie }) => cookie),
      [2n],
    );
    t.equal(made.session.underWay, 0);
    t.equal(made.memory.inFlight, 0);
  });

  t.test(`${mode}: a transfer is handed over before the next request is looked at`, async (t) => {
    const made = bench({ mode, isDirect: true });
    const payload = randomBytes(512);
    made.ask(
      { type: READ, cookie: 1n, offset: 0, length: 512 },
      { type: WRITE, cookie: 2n, offset: 512, payload },
      { type: WRITE, cookie: 3n, flags: FUA, offset: 1024, payload },
      { type: READ, cookie: 4n, offset: 0, length: 65_536 },
    );
    t.strictSame(made.handedOver, [1, 2, 3, 4]);
    const long = { type: WRITE, cookie: 5n, offset: 0, payload: randomBytes(100_000) };
    made.ask(long);
    t.equal(made.handedOver.at(-1), 5, 'also one whose payload came in pieces');
  });

  t.test(`${mode}: a write with FUA is written, then flushed, then answered`, async (t) => {
    for (const bytes of [512, 100_000]) {
      for (const isDirect of [false, true]) {
        const made = bench({ mode, isDirect });
        const payload = randomBytes(bytes);
        t.strictSame(made.ask({ type: WRITE, flags: FUA, offset: 0, payload }), []);
        if (isDirect) t.strictSame(made.end(), [], 'written, and not yet answered');
        t.ok(made.memory.content.subarray(0, bytes).equals(payload));
        t.equal(made.memory.flushes, 0);
        t.equal(made.end()[0]?.error, 0);
        t.equal(made.memory.flushes, 1);
        t.equal(made.memory.inFlight, 0);
      }
    }
  });

  t.test(`${mode}: DISC flushes behind what is under way, not beside it`, async (t) => {
    const made = bench({ mode, isDirect: true });
    t.strictSame(
      made.ask(
        { type: WRITE, cookie: 1n, offset: 0, payload: randomBytes(4096) },
        { type: READ, cookie: 2n, length: 512 },
        { type: DISC },
      ),
      [],
    );
    t.equal(made.memory.started, 2);
    t.equal(made.session.status, Status.BUSY);
    t.equal(made.end({ last: true }).length, 1);
    t.equal(made.session.status, Status.BUSY, 'the write is still under way');
    t.equal(made.end().length, 1, 'what came before DISC is answered');
    t.equal(made.session.status, Status.FINISHED);
    t.strictSame(made.memory.log.slice(-2), ['write 0 4096', 'start flush']);
    t.strictSame(made.end(), [], 'DISC has no reply');
    t.equal(made.memory.flushes, 1);
    t.equal(made.session.underWay, 0);
  });

  t.test(`${mode}: a connection has so much under way, then waits for its own`, async (t) => {
    const made = bench({ mode });
    const flushes = Array.from({ length: MAX_PER_CONNECTION + 3 }, (_, index) => ({
      type: FLUSH,
      cookie: BigInt(index),
    }));
    t.strictSame(made.ask(...flushes, { type: TRIM, cookie: 99n, offset: 0, length: 512 }), []);
    t.equal(made.memory.started, MAX_PER_CONNECTION);
    t.equal(made.session.status, Status.BUSY);
    const replies = [];
    for (let ended = 0; ended < flushes.length; ended++) replies.push(...made.end());
    t.strictSame(
      replies.map(({ cookie }) => cookie).sort((a, b) => Number(a - b)),
      [...flushes.map(({ cookie }) => cookie), 99n],
    );
    t.equal(made.memory.started, 0);
    t.equal(made.unserved, 0);
  });

  t.test(`${mode}: where the thread has no operation left it is done in place`, async (t) => {
    const made = bench({ mode, operations: 1, isDirect: true });
    const payload = randomBytes(512);
    const replies = made.ask(
      { type: FLUSH, cookie: 1n },
      { type: WRITE, cookie: 2n, flags: FUA, offset: 0, payload },
      { type: READ, cookie: 3n, offset: 0, length: 512 },
      { type: FLUSH, cookie: 4n },
    );
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]),
      [
        [2n, 0],
        [3n, 0],
        [4n, 0],
      ],
    );
    t.ok(replies[1]?.data?.equals(payload));
    t.equal(made.end()[0]?.cookie, 1n);
  });

  t.test(`${mode}: a peer that takes nothing is owed what is done, and gets it later`, async (t) => {
    const made = bench({ mode, isDirect: true });
    made.ask(
      { type: READ, cookie: 1n, offset: 0, length: 4096 },
      { type: FLUSH, cookie: 2n },
      { type: READ, cookie: 3n, offset: 0, length: 4096 },
    );
    made.isBlocked = true;
    for (let ended = 0; ended < 3; ended++) t.strictSame(made.end(), []);
    t.strictSame(
      made.unblock().map(({ cookie }) => cookie),
      [1n, 2n, 3n],
    );
    t.equal(made.session.underWay, 0);
  });
}
