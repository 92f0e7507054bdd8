import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import t from 'tap';
import { endingOf, Status } from '../../../server/session/link.js';
import { LONG_READ } from '../../../server/session/long-read.js';
import { Cmd, CmdFlag, WireErrno } from '../../../server/wire/constants.js';
import { SessionBench } from '../../helpers/session-bench.js';

const { READ } = Cmd;
const SIZE = 8 << 20;
/** Outside what is read. */
const FUA_DATA = randomBytes(512);
const SHAPES = [
  { mode: 'simple', flags: 0 },
  { mode: 'structured', flags: 0 },
  { mode: 'structured', flags: CmdFlag.DF },
  { mode: 'extended', flags: 0 },
  { mode: 'extended', flags: CmdFlag.DF },
] as const;

for (const { mode, flags } of SHAPES) {
  const title = `${mode}${flags === 0 ? '' : ' with DF'}`;
  const bench = (): SessionBench => {
    const made = new SessionBench({ mode, size: SIZE, zeroCopy: true });
    made.memory.fill(0, randomBytes(SIZE));
    return made;
  };
  const ask = { type: READ, flags, offset: 512, length: SIZE - 1000 };

  t.test(`${title}: a long READ is answered whole, and the next request behind it`, async (t) => {
    const device = bench();
    const replies = device.ask(ask, { type: READ, offset: 0, length: 16 });
    t.equal(replies.length, 2);
    t.ok(replies[0]?.data?.equals(device.memory.content.subarray(512, SIZE - 488)));
    t.ok(replies[1]?.data?.equals(device.memory.content.subarray(0, 16)));
  });

  t.test(`${title}: of a long READ little is kept for a peer that takes nothing`, async (t) => {
    const device = bench();
    device.isBlocked = true;
    t.same(device.ask(ask), []);
    t.ok(device.mostKept <= LONG_READ + 4096, `${device.mostKept} bytes`);
    const [reply] = device.unblock();
    t.ok(reply?.data?.equals(device.memory.content.subarray(512, SIZE - 488)));
  });

  t.test(`${title}: an error at the start of a long READ comes in place of the data`, async (t) => {
    const device = bench();
    device.backend.fault = () => constants.errno.EIO;
    t.equal(device.askOne(ask).error, WireErrno.EIO);
    device.backend.fault = () => 0;
    t.equal(device.askOne({ type: READ, offset: 0, length: 16 }).error, 0);
  });

  t.test(`${title}: an error in the middle of a long READ is told`, async (t) => {
    const device = bench();
    device.backend.fault = (_, offset) => (offset > SIZE / 2 ? constants.errno.EIO : 0);
    t.equal(device.askOne(ask).error, WireErrno.EIO);
    device.backend.fault = () => 0;
    t.equal(device.askOne({ type: READ, offset: 0, length: 16 }).error, 0);
  });

  t.test(`${title}: what is under way is never answered within the data of a long READ`, async (t) => {
    for (const first of [{ type: Cmd.FLUSH }, { type: Cmd.WRITE, flags: CmdFlag.FUA, payload: FUA_DATA }]) {
      const device = new SessionBench({ mode, size: SIZE, operations: 64 });
      device.memory.fill(0, randomBytes(SIZE));
      device.isBlocked = true;
      device.ask({ cookie: 1n, ...first }, { cookie: 2n, ...ask });
      device.end();
      const replies = device.unblock();
      t.strictSame(replies.map(({ cookie }) => cookie).sort(), [1n, 2n]);
      const whole = replies.find(({ cookie }) => cookie === 2n)?.data;
      t.ok(whole?.equals(device.memory.content.subarray(512, SIZE - 488)));
    }
  });

  t.test(`${title}: a long READ waits for a frozen device, also in its middle`, async (t) => {
    const device = bench();
    device.memory.isFrozen = true;
    t.same(device.ask(ask), []);
    t.equal(device.session.status, Status.PARKED);
    device.memory.isFrozen = false;
    device.isBlocked = true;
    t.same(device.again(), []);
    device.memory.isFrozen = true;
    t.same(device.unblock(), []);
    t.equal(device.session.status, Status.PARKED);
    device.memory.isFrozen = false;
    const [reply] = device.again();
    t.ok(reply?.data?.equals(device.memory.content.subarray(512, SIZE - 488)));
  });
}

t.test('simple: what could be read when it was looked at, and then cannot, ends the session', async (t) => {
  const device = new SessionBench({ mode: 'simple', size: SIZE });
  let asked = 0;
  device.backend.fault = (_, offset) => {
    asked += offset > SIZE / 2 ? 1 : 0;
    return asked > SIZE / LONG_READ ? constants.errno.EIO : 0;
  };
  t.same(device.ask({ type: READ, offset: 0, length: SIZE }), []);
  t.equal(device.session.status, Status.CUT_SHORT);
  t.match(endingOf(device.session.status), /a READ failed/);
});

t.test('simple: a look that is blocked, or finds the device frozen, is taken up where it was', async (t) => {
  const device = new SessionBench({ mode: 'simple', size: SIZE });
  device.memory.fill(0, randomBytes(SIZE));
  const looked: number[] = [];
  device.backend.fault = (_, offset) => {
    looked.push(offset);
    device.memory.isFrozen = looked.length % 5 === 0;
    return 0;
  };
  let replies = device.ask({ type: READ, offset: 0, length: SIZE });
  while (replies.length === 0) {
    t.equal(device.session.status, Status.PARKED);
    device.memory.isFrozen = false;
    replies = device.again();
  }
  t.ok(replies[0]?.data?.equals(device.memory.content));
  const half = looked.slice(0, looked.length / 2);
  t.strictSame(looked, [...half, ...half], 'everything was read twice, in order');
});

t.test('a hole longer than a piece is one chunk', async (t) => {
  const device = new SessionBench({ mode: 'structured', size: SIZE });
  device.memory.fill(0, randomBytes(4096));
  const reply = device.askOne({ type: READ, offset: 0, length: SIZE });
  t.ok(reply.data?.equals(device.memory.content));
  t.ok(reply.shape.split(',').length <= 3, reply.shape);
});
