/** TRIM and WRITE_ZEROES that are started: pieces that end later, on a session that serves others meanwhile. */
import { constants } from 'node:os';
import t from 'tap';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { SessionBench } from '../../helpers/session-bench.js';

const { EIO, EINVAL } = constants.errno;
const MIB = 1 << 20;
/** The least that is started at a time, so that it does not matter how long one takes. */
const PIECE = 64 << 10;
const SIZE = 8 * MIB;

function bench(): SessionBench {
  const made = new SessionBench({ size: SIZE, operations: 16 });
  made.memory.changePiece = PIECE;
  made.memory.content.fill(7);
  return made;
}
const calls = (made: SessionBench): string[] => made.memory.log.splice(0);

for (const [type, call] of [
  [Cmd.TRIM, 'trim'],
  [Cmd.WRITE_ZEROES, 'writeZeroes punch'],
] as const) {
  t.test(
    `${call}: piece by piece, with others served in between, durable once where FUA asks for it`,
    async (t) => {
      const made = bench();
      const length = 2 * PIECE + 4096;
      t.strictSame(made.ask({ type, flags: CmdFlag.FUA, cookie: 1n, offset: 512, length }), [], 'started');
      t.match(made.ask({ type: Cmd.READ, cookie: 2n, offset: 0, length: 512 }), [{ cookie: 2n, error: 0 }]);
      calls(made);
      t.strictSame(made.end(), []);
      t.equal(made.memory.started, 0, 'the next piece is not begun in the middle of something');
      t.strictSame(made.goOn(), []);
      t.strictSame(made.end(), []);
      made.goOn();
      t.strictSame(made.end(), [], 'made durable');
      t.match(made.end(), [{ cookie: 1n, error: 0 }]);
      t.strictSame(
        calls(made).filter((one) => one.startsWith(call) || one === 'flush'),
        [
          `${call} 512 ${PIECE}`,
          `${call} ${512 + PIECE} ${PIECE}`,
          `${call} ${512 + 2 * PIECE} 4096`,
          'flush',
        ],
      );
      t.ok(made.memory.content.subarray(512, 512 + length).every((byte) => byte === 0));
      t.equal(made.memory.content[512 + length], 7);
    },
  );
}

t.test('a short one, and one that is refused, are answered at once', async (t) => {
  const made = bench();
  t.equal(made.askOne({ type: Cmd.TRIM, offset: 0, length: 64 << 10 }).error, 0);
  t.equal(made.askOne({ type: Cmd.TRIM, offset: 0, length: SIZE + 512 }).error, EINVAL);
  t.equal(made.memory.started, 0);
});

t.test('a device has one piece under way at a time, and its ranges take turns', async (t) => {
  const made = bench();
  const range = { type: Cmd.TRIM, length: 2 * PIECE };
  made.ask({ ...range, cookie: 1n, offset: 0 }, { ...range, cookie: 2n, offset: 4 * PIECE });
  const ended = [];
  for (let piece = 0; piece < 4; piece++) {
    t.equal(made.memory.started, 1);
    ended.push(...made.end());
    ended.push(...made.goOn());
  }
  t.match(ended, [{ cookie: 1n }, { cookie: 2n }]);
  t.strictSame(
    calls(made).filter((one) => one.startsWith('trim')),
    [0, 4, 1, 5].map((at) => `trim ${at * PIECE} ${PIECE}`),
  );
});

t.test('a freeze waits for a piece, and the next one comes after the thaw', async (t) => {
  const made = bench();
  made.ask({ type: Cmd.TRIM, offset: 0, length: 2 * PIECE });
  made.memory.isFrozen = true;
  made.end();
  made.goOn();
  made.goOn();
  t.equal(made.memory.started, 0);
  made.memory.isFrozen = false;
  made.thawed();
  made.goOn();
  t.equal(made.memory.started, 1);
  t.match(made.end(), [{ error: 0 }]);
});

t.test('what the device does not have any more is told', async (t) => {
  const made = bench();
  made.ask({ type: Cmd.TRIM, offset: 0, length: 2 * PIECE });
  made.end();
  made.memory.isBound = false;
  t.match(made.goOn(), [{ error: EIO }]);
});

t.test('what can be started no longer is done in place, a piece a turn', async (t) => {
  const made = bench();
  made.ask({ type: Cmd.WRITE_ZEROES, flags: CmdFlag.FUA, offset: 0, length: PIECE + 2 * MIB });
  made.end();
  made.memory.changePiece = 0;
  t.strictSame(made.goOn(), []);
  t.match(made.goOn(), [{ error: 0 }]);
  t.equal(made.memory.flushes, 1);
  t.ok(made.memory.content.subarray(0, PIECE + 2 * MIB).every((byte) => byte === 0));
});

t.test('nobody is left to hear of it: no further piece is begun', async (t) => {
  const made = bench();
  made.ask({ type: Cmd.TRIM, offset: 0, length: 8 * MIB });
  made.isGone = true;
  made.end();
  made.goOn();
  t.equal(made.memory.started, 0);
  t.equal(made.memory.inFlight, 0, 'and it is counted out');
});
