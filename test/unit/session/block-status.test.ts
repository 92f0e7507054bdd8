import { randomBytes } from 'node:crypto';
import t from 'tap';
import { CONTEXTS, DIRTY_FLAG } from '../../../server/session/contexts.js';
import { Cmd, CmdFlag, WireErrno } from '../../../server/wire/constants.js';
import { PAGE } from '../../helpers/memory-backend.js';
import { ALLOCATION, SessionBench } from '../../helpers/session-bench.js';
import type { Ask, Run } from '../../helpers/transmission-client.js';

const { BLOCK_STATUS } = Cmd;
const SIZE = 1 << 20;
const DATA = 0;
const HOLE = 3;

for (const mode of ['structured', 'extended'] as const) {
  /** Data in the pages of `data`, holes elsewhere. */
  const bench = (data: readonly (readonly [page: number, pages: number])[], contexts = ALLOCATION) => {
    const made = new SessionBench({ mode, size: SIZE, contexts });
    for (const [page, pages] of data) made.memory.fill(page * PAGE, randomBytes(pages * PAGE));
    return made;
  };
  const status = (on: SessionBench, offset: number, length: number, flags = 0): readonly Run[] | undefined =>
    on.askOne({ type: BLOCK_STATUS, flags, offset, length }).extents.get(1);

  t.test(`${mode}: data and holes in order`, async (t) => {
    const device = bench([
      [1, 2],
      [10, 1],
    ]);
    t.strictSame(status(device, 0, SIZE), [
      [4096n, HOLE],
      [8192n, DATA],
      [28672n, HOLE],
      [4096n, DATA],
      [BigInt(SIZE - 11 * PAGE), HOLE],
    ]);
    t.strictSame(
      status(device, 5000, 10_000),
      [
        [7288n, DATA],
        [2712n, HOLE],
      ],
      'extents begin and end with the range',
    );
  });

  t.test(`${mode}: extents are whole blocks, and a block with any data is data`, async (t) => {
    const device = new SessionBench({ mode, size: SIZE, contexts: ALLOCATION, minimumBlock: 4 * PAGE });
    for (const page of [1, 11, 12]) device.memory.fill(page * PAGE, randomBytes(PAGE));
    t.strictSame(status(device, 0, SIZE), [
      [16384n, DATA],
      [16384n, HOLE],
      [32768n, DATA],
      [BigInt(SIZE - 16 * PAGE), HOLE],
    ]);
    t.strictSame(status(device, 16384, 32768, CmdFlag.REQ_ONE), [[16384n, HOLE]]);
  });

  t.test(`${mode}: nbdloop:dirty tells what changed, under its own id and flag`, async (t) => {
    const device = bench([[1, 2]], CONTEXTS);
    const { extents } = device.askOne({ type: BLOCK_STATUS, offset: 0, length: 4 * PAGE });
    t.strictSame(
      [...extents],
      [
        [
          1,
          [
            [4096n, HOLE],
            [8192n, DATA],
            [4096n, HOLE],
          ],
        ],
        [
          2,
          [
            [4096n, 0],
            [8192n, DIRTY_FLAG],
            [4096n, 0],
          ],
        ],
        [3, [[16384n, 0]]],
      ],
    );
  });

  t.test(`${mode}: with REQ_ONE there is one extent, not past the range`, async (t) => {
    const device = bench([[1, 2]]);
    t.strictSame(status(device, 0, SIZE, CmdFlag.REQ_ONE), [[4096n, HOLE]]);
    t.strictSame(status(device, 4096, 100, CmdFlag.REQ_ONE), [[100n, DATA]]);
  });

  t.test(`${mode}: of very many extents the first are told, and the client asks again`, async (t) => {
    const striped = Array.from({ length: 32 }, (_, index) => [2 * index, 1] as const);
    const device = bench(striped);
    device.memory.size = 8 << 20;
    t.equal(status(device, 0, SIZE)?.length, 64, '64 of 64');
    const many = new SessionBench({ mode, size: 4 << 20, contexts: ALLOCATION });
    for (let page = 0; page < 1024; page += 2) many.memory.fill(page * PAGE, randomBytes(PAGE));
    let at = 0;
    let asked = 0;
    while (at < 4 << 20) {
      const runs = status(many, at, (4 << 20) - at) ?? [];
      t.ok(runs.length > 0 && runs.length <= 256);
      for (const [length, flags] of runs) {
        if (flags !== ((at / PAGE) % 2 === 0 ? DATA : HOLE) || length !== 4096n) t.fail(`extent at ${at}`);
        at += Number(length);
      }
      asked++;
    }
    t.equal(asked, 4);
  });

  t.test(`${mode}: each selected context has a chunk under its id`, async (t) => {
    const contexts = [
      { id: 7, name: 'base:allocation' },
      { id: 1, name: 'base:allocation' },
    ];
    const { extents } = bench([[0, 1]], contexts).askOne({ type: BLOCK_STATUS, offset: 0, length: 8192 });
    const runs = [
      [4096n, DATA],
      [4096n, HOLE],
    ];
    t.strictSame(
      [...extents],
      [
        [7, runs],
        [1, runs],
      ],
    );
  });

  t.test(`${mode}: refused past the end, while unbound, and without a context`, async (t) => {
    const device = bench([]);
    t.equal(device.askOne({ type: BLOCK_STATUS, offset: 0, length: SIZE + 1 }).error, WireErrno.EINVAL);
    device.memory.isBound = false;
    t.equal(device.askOne({ type: BLOCK_STATUS, offset: 0, length: 512 }).error, WireErrno.EIO);
    const without = bench([], []);
    t.equal(without.askOne({ type: BLOCK_STATUS, offset: 0, length: 512 }).error, WireErrno.EINVAL);
  });
}

/** A BLOCK_STATUS that names its range and contexts in the payload. */
const narrowed = (length: number | bigint, ids: readonly number[], flags = 0): Ask => {
  const payload = Buffer.alloc(8 + 4 * ids.length);
  payload.writeBigUInt64BE(BigInt(length));
  for (const [index, id] of ids.entries()) payload.writeUInt32BE(id, 8 + 4 * index);
  return { type: BLOCK_STATUS, flags: CmdFlag.PAYLOAD_LEN | flags, offset: 0, payload };
};

t.test('extended: a payload chooses among the selected contexts', async (t) => {
  const device = new SessionBench({ mode: 'extended', size: SIZE, contexts: CONTEXTS });
  device.memory.fill(0, randomBytes(PAGE));
  const rest = BigInt(SIZE - PAGE);
  const allocation = [
    [4096n, DATA],
    [rest, HOLE],
  ];
  const dirty = [
    [4096n, DIRTY_FLAG],
    [rest, 0],
  ];
  const told = (ask: Ask): unknown[] => [...device.askOne(ask).extents];
  t.strictSame(told(narrowed(SIZE, [1])), [[1, allocation]]);
  t.strictSame(told(narrowed(SIZE, [2])), [[2, dirty]]);
  t.strictSame(
    told(narrowed(SIZE, [2, 1])).sort(),
    [
      [1, allocation],
      [2, dirty],
    ],
    'in any order',
  );
  t.strictSame(told(narrowed(100, [1], CmdFlag.REQ_ONE)), [[1, [[100n, DATA]]]]);
  t.equal(device.memory.log.filter((call) => call === 'queried').length, 4, 'each is counted once');
});

t.test('extended: a payload that chooses wrongly is EINVAL, and the connection goes on', async (t) => {
  const device = new SessionBench({
    mode: 'extended',
    size: SIZE,
    contexts: CONTEXTS,
    minimumBlock: 512,
  });
  const raw = (payload: Buffer): Ask => ({ ...narrowed(0, []), payload });
  const wrong = {
    'an unknown id': narrowed(512, [9]),
    'a known and an unknown id': narrowed(512, [1, 9]),
    'an id twice': narrowed(512, [1, 1]),
    'more ids than there are': narrowed(512, [1, 2, 1]),
    'no id': narrowed(512, []),
    'half an id': raw(Buffer.alloc(14)),
    'half a length': raw(Buffer.alloc(4)),
    nothing: raw(Buffer.alloc(0)),
    'far too much': raw(Buffer.alloc(100_000)),
    'a length of zero': narrowed(0, [1]),
    'an unaligned length': narrowed(100, [1]),
    'a length past the end': narrowed(SIZE + 512, [1]),
    'a length past everything': narrowed(2n ** 64n - 512n, [1]),
    'a flag it does not have': narrowed(512, [1], CmdFlag.DF),
  };
  for (const [title, ask] of Object.entries(wrong)) {
    t.equal(device.askOne(ask).error, WireErrno.EINVAL, title);
    t.equal(device.askOne(narrowed(512, [1])).error, 0, `behind ${title}`);
  }
  const without = new SessionBench({ mode: 'extended', size: SIZE, contexts: [] });
  t.equal(without.askOne(narrowed(512, [1])).error, WireErrno.EINVAL);
  t.equal(without.askOne({ type: Cmd.READ, offset: 0, length: 16 }).error, 0);
});

t.test('a run of more than 4 GiB is one extent in extended replies and pieces in compact ones', async (t) => {
  const extended = new SessionBench({ mode: 'extended', size: 1 << 16, contexts: ALLOCATION });
  extended.memory.size = 2 ** 42;
  const whole = extended.askOne({ type: BLOCK_STATUS, offset: 65536, length: 2 ** 34 });
  t.strictSame(whole.extents.get(1), [[2n ** 34n, HOLE]]);
  const compact = new SessionBench({ mode: 'structured', size: 1 << 16, contexts: ALLOCATION });
  compact.memory.size = 2 ** 42;
  const part = compact.askOne({ type: BLOCK_STATUS, offset: 65536, length: 0xffff_ffff });
  const runs = part.extents.get(1) ?? [];
  t.ok(runs.every(([length, flags]) => length <= 0xffff_ffffn && flags === HOLE));
  t.equal(
    runs.reduce((sum, [length]) => sum + length, 0n),
    0xffff_ffffn,
  );
});
