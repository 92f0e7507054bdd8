/** TRIM and WRITE_ZEROES have no payload that would bound them: long ones are done piece by piece. */
import { constants } from 'node:os';
import t from 'tap';
import type { ReplyMode } from '../../../server/negotiation/outcome.js';
import { Status } from '../../../server/session/link.js';
import { CHANGE_BYTES } from '../../../server/session/range-change.js';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { SessionBench } from '../../helpers/session-bench.js';
import type { Ask } from '../../helpers/transmission-client.js';

const { errno } = constants;
const MODES: readonly ReplyMode[] = ['simple', 'structured', 'extended'];
const LENGTH = 5 * CHANGE_BYTES + 4096;

/** A bench on a device of 1 TiB, and the pieces that reach its backend, by operation. */
const bench = (mode: ReplyMode) => {
  const made = new SessionBench({ mode });
  made.memory.size = 2 ** 40;
  const pieces: [operation: string, offset: number, length: number][] = [];
  const faults = new Map<number, number>();
  made.backend.fault = (operation, offset, length) => {
    if (operation === 'trim' || operation === 'writeZeroes') pieces.push([operation, offset, length]);
    return faults.get(pieces.length) ?? 0;
  };
  return { made, pieces, faults };
};

for (const mode of MODES) {
  for (const type of [Cmd.TRIM, Cmd.WRITE_ZEROES]) {
    const name = type === Cmd.TRIM ? 'trim' : 'writeZeroes';

    t.test(`${mode}, ${name}: a long one is done in pieces that cover it, answered once`, async (t) => {
      const { made, pieces } = bench(mode);
      t.equal(made.askOne({ type, flags: CmdFlag.FUA, offset: 512, length: LENGTH }).error, 0);
      t.equal(pieces.length, 6);
      let position = 512;
      for (const [operation, offset, length] of pieces) {
        t.equal(operation, name);
        t.equal(offset, position);
        t.ok(length > 0 && length <= CHANGE_BYTES);
        position += length;
      }
      t.equal(position, 512 + LENGTH);
      t.equal(made.memory.flushes, 1, 'FUA: durable once, at the end');
    });

    t.test(
      `${mode}, ${name}: an error ends it there, is told once, and the connection goes on`,
      async (t) => {
        const { made, pieces, faults } = bench(mode);
        faults.set(3, errno.EIO);
        t.equal(made.askOne({ type, flags: CmdFlag.FUA, offset: 0, length: LENGTH }).error, errno.EIO);
        t.equal(pieces.length, 3);
        t.equal(made.memory.flushes, 0);
        t.equal(made.askOne({ type, offset: 0, length: 512 }).error, 0);
      },
    );

    t.test(`${mode}, ${name}: one that ends past the device changes none of it`, async (t) => {
      const { made, pieces } = bench(mode);
      const { error } = made.askOne({ type, offset: 2 ** 40 - LENGTH + 512, length: LENGTH });
      t.equal(error, type === Cmd.TRIM ? errno.EINVAL : errno.ENOSPC);
      t.strictSame(pieces, []);
    });
  }

  /** A bench whose device freezes with the second piece, so that the change stands there. */
  const halfway = (...asks: readonly Ask[]) => {
    const { made, pieces } = bench(mode);
    made.backend.fault = (operation, offset, length) => {
      pieces.push([operation, offset, length]);
      made.memory.isFrozen = pieces.length === 2;
      return 0;
    };
    const replies = made.ask(...asks);
    return { made, pieces, replies };
  };
  const long = { type: Cmd.WRITE_ZEROES, offset: 0, length: LENGTH };

  t.test(`${mode}: between two pieces a freeze gets through, and what is behind waits`, async (t) => {
    const { made, pieces, replies } = halfway(long, { type: Cmd.CACHE, offset: 0, length: 512 });
    t.strictSame(replies, []);
    t.equal(made.session.status, Status.PARKED);
    t.equal(pieces.length, 2);
    made.memory.isFrozen = false;
    t.equal(made.again().length, 2);
    t.strictSame(
      pieces.map(([operation]) => operation),
      [...Array(6).fill('writeZeroes'), 'cache'],
    );
  });

  t.test(`${mode}: a device that is cleared between two pieces answers EIO`, async (t) => {
    const { made, pieces } = halfway(long);
    made.memory.isBound = false;
    made.memory.isFrozen = false;
    t.match(made.again(), [{ error: errno.EIO }]);
    t.equal(pieces.length, 2);
  });
}
