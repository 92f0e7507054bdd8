import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import t from 'tap';
import type { ReplyMode } from '../../../server/negotiation/outcome.js';
import { Status } from '../../../server/session/link.js';
import { MAX_PAYLOAD } from '../../../server/session/request-rules.js';
import { Cmd, CmdFlag, WireErrno } from '../../../server/wire/constants.js';
import { type BenchOptions, SessionBench } from '../../helpers/session-bench.js';
import { type Ask, encodeAsk } from '../../helpers/transmission-client.js';

const MODES: readonly ReplyMode[] = ['simple', 'structured', 'extended'];
const { READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, RESIZE } = Cmd;
const { EINVAL, EIO, ENOSPC, EPERM, ENOTSUP, EOVERFLOW, ENOMEM } = WireErrno;
const SIZE = 1 << 20;
const RANGED = [READ, TRIM, CACHE, WRITE_ZEROES];

interface Refused {
  readonly title: string;
  readonly asks: readonly Ask[];
  readonly error: number;
  readonly options?: BenchOptions;
  readonly prepare?: (bench: SessionBench) => void;
}

const payload = (bytes: number): Buffer => Buffer.alloc(bytes, 0xee);
const everywhere = (types: readonly number[], range: Partial<Ask>): Ask[] =>
  types.map((type) => ({ type, ...range }));

const REFUSED: readonly Refused[] = [
  {
    title: 'an unknown command',
    asks: everywhere([RESIZE, 9, 255, 0xffff], { offset: 0, length: 512 }),
    error: EINVAL,
  },
  {
    title: 'a flag that the command does not have',
    asks: [
      ...everywhere([FLUSH], { flags: CmdFlag.NO_HOLE }),
      ...everywhere([READ, TRIM, CACHE], { flags: CmdFlag.NO_HOLE, offset: 0, length: 512 }),
      ...everywhere([WRITE_ZEROES, TRIM, CACHE], { flags: CmdFlag.DF, offset: 0, length: 512 }),
      ...everywhere([READ, TRIM], { flags: CmdFlag.REQ_ONE, offset: 0, length: 512 }),
      ...everywhere([READ, WRITE_ZEROES, BLOCK_STATUS], { flags: 0x8000, offset: 0, length: 512 }),
      ...everywhere([WRITE], { flags: CmdFlag.DF, offset: 0, payload: payload(512) }),
    ],
    error: EINVAL,
  },
  {
    title: 'FAST_ZERO where it was not offered',
    asks: everywhere([WRITE_ZEROES], { flags: CmdFlag.FAST_ZERO, offset: 0, length: 512 }),
    error: EINVAL,
    options: { fastZero: false },
  },
  {
    title: 'a length of zero',
    asks: [
      ...everywhere([...RANGED, BLOCK_STATUS], { offset: 0, length: 0 }),
      { type: WRITE, payload: payload(0) },
    ],
    error: EINVAL,
  },
  {
    title: 'FLUSH with a range',
    asks: [
      { type: FLUSH, offset: 512 },
      { type: FLUSH, length: 512 },
    ],
    error: EINVAL,
  },
  {
    title: 'a READ of more than 32 MiB',
    asks: [{ type: READ, offset: 0, length: MAX_PAYLOAD + 1 }],
    error: EINVAL,
    prepare: ({ memory }) => {
      memory.size = 2 ** 40;
    },
  },
  {
    title: 'a READ or WRITE over the limit that was told',
    asks: [
      { type: READ, offset: 0, length: 65_537 },
      { type: WRITE, offset: 0, payload: payload(65_537) },
      { type: WRITE, offset: 0, payload: payload(300_000) },
    ],
    error: EINVAL,
    options: { maxPayload: 65_536 },
  },
  {
    title: 'FAST_ZERO that was not offered',
    asks: everywhere([WRITE_ZEROES], { flags: CmdFlag.FAST_ZERO, offset: 0, length: 512 }),
    error: EINVAL,
    options: { fastZero: false },
  },
  {
    title: 'a READ or TRIM past the end',
    asks: [
      { type: READ, offset: SIZE, length: 1 },
      { type: READ, offset: SIZE - 1, length: 2 },
      { type: READ, offset: 0, length: SIZE + 1 },
      { type: READ, offset: 2n ** 64n - 512n, length: 512 },
      { type: CACHE, offset: 2n ** 63n, length: 512 },
      { type: TRIM, offset: SIZE, length: 512 },
      { type: TRIM, offset: 2n ** 64n - 1n, length: 2 ** 32 - 1 },
    ],
    error: EINVAL,
  },
  {
    title: 'a change past the end',
    asks: [
      { type: WRITE, offset: SIZE - 1, payload: payload(2) },
      { type: WRITE, offset: SIZE - 512, payload: payload(100_000) },
      { type: WRITE, offset: 2n ** 64n - 512n, payload: payload(512) },
      { type: WRITE_ZEROES, offset: SIZE, length: 512 },
      { type: WRITE_ZEROES, offset: 2n ** 64n - 1n, length: 2 ** 32 - 1 },
    ],
    error: ENOSPC,
  },
  {
    title: 'a change of a read-only session',
    asks: [
      { type: WRITE, offset: 0, payload: payload(512) },
      { type: WRITE, offset: 0, payload: payload(100_000) },
      ...everywhere([TRIM, WRITE_ZEROES], { offset: 0, length: 512 }),
    ],
    error: EPERM,
    options: { readOnly: true },
  },
  {
    title: 'a change of a device that turned read-only',
    asks: [
      { type: WRITE, offset: 0, payload: payload(512) },
      { type: WRITE, offset: 0, payload: payload(100_000) },
      ...everywhere([TRIM, WRITE_ZEROES], { offset: 0, length: 512 }),
    ],
    error: EPERM,
    prepare: ({ memory }) => {
      memory.readOnly = true;
    },
  },
  {
    title: 'a range that is not aligned to the block size the client was told',
    asks: [
      ...everywhere(RANGED, { offset: 256, length: 512 }),
      ...everywhere(RANGED, { offset: 512, length: 513 }),
      { type: WRITE, offset: 1, payload: payload(512) },
      { type: WRITE, offset: 512, payload: payload(100) },
      { type: READ, offset: 2n ** 53n + 1n, length: 512 },
    ],
    error: EINVAL,
    options: { minimumBlock: 512 },
  },
  {
    title: 'BLOCK_STATUS when no context was selected',
    asks: [{ type: BLOCK_STATUS, offset: 0, length: 512 }],
    error: EINVAL,
  },
  {
    title: 'everything while nothing is bound, before its range is looked at',
    asks: [
      ...everywhere(RANGED, { offset: 0, length: 512 }),
      ...everywhere(RANGED, { offset: SIZE, length: 512 }),
      { type: READ, offset: 0, length: 1 << 19 },
      { type: WRITE, offset: SIZE, payload: payload(512) },
      { type: WRITE, offset: 0, payload: payload(100_000) },
      { type: FLUSH },
    ],
    error: EIO,
    prepare: ({ memory }) => {
      memory.isBound = false;
    },
  },
];

for (const mode of MODES) {
  for (const { title, asks, error, options, prepare } of REFUSED) {
    t.test(`${mode}: refused: ${title}`, async (t) => {
      const bench = new SessionBench({ mode, size: SIZE, zeroCopy: true, ...options });
      bench.memory.fill(0, randomBytes(SIZE));
      const before = Buffer.from(bench.memory.content);
      prepare?.(bench);
      for (const ask of asks) {
        const reply = bench.askOne({ cookie: 7n, ...ask });
        t.equal(
          reply.error,
          error,
          JSON.stringify(ask, (key, value) => (key === 'payload' ? '' : String(value))),
        );
        if (mode !== 'simple') t.match(reply.text, /^E[A-Z]+: /, 'the reason is told in words');
      }
      t.ok(bench.memory.content.equals(before), 'nothing was changed');
      t.equal(bench.unserved, 0, 'the payloads are gone');
      Object.assign(bench.memory, { isBound: true, size: SIZE, readOnly: false });
      const read = bench.askOne({ type: READ, offset: 512, length: 1024 });
      t.ok(read.data?.equals(before.subarray(512, 1536)), 'and the connection goes on');
    });
  }

  t.test(`${mode}: the payload of a WRITE of more than 32 MiB is drained`, async (t) => {
    const bench = new SessionBench({ mode });
    const length = MAX_PAYLOAD + 512;
    bench.expect({ type: WRITE, cookie: 3n }, { type: READ, cookie: 4n, offset: 0, length: 4 });
    const header = { type: WRITE, cookie: 3n, offset: 0, length };
    const piece = payload(1 << 20);
    const replies = bench.send(encodeAsk(mode, header));
    for (let left = length; left > 0; left -= piece.length) {
      replies.push(...bench.send(piece.subarray(0, Math.min(left, piece.length))));
    }
    replies.push(...bench.send(encodeAsk(mode, { type: READ, cookie: 4n, offset: 0, length: 4 })));
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]),
      [
        [3n, EINVAL],
        [4n, 0],
      ],
    );
    t.strictSame(bench.memory.log, ['read 0 4']);
  });

  t.test(`${mode}: an error of the file is told, and the connection goes on`, async (t) => {
    const { errno } = constants;
    for (const [linux, wire] of [
      [errno.EIO, EIO],
      [errno.ENOSPC, ENOSPC],
      [errno.EDQUOT, ENOSPC],
      [errno.EOPNOTSUPP, ENOTSUP],
      [errno.ENOMEM, ENOMEM],
      [errno.EOVERFLOW, EOVERFLOW],
      [errno.EBADF, EIO],
    ] as const) {
      const bench = new SessionBench({ mode, size: SIZE });
      bench.memory.fill(0, randomBytes(SIZE));
      bench.backend.fault = () => linux;
      for (const ask of [
        ...everywhere([...RANGED], { offset: 0, length: 512 }),
        { type: FLUSH },
        { type: WRITE, offset: 0, payload: payload(512) },
        { type: WRITE, offset: 0, payload: payload(300_000) },
        { type: READ, offset: 0, length: 300_000 },
      ]) {
        t.equal(bench.askOne(ask).error, wire, `type ${ask.type}`);
      }
      bench.backend.fault = () => 0;
      t.equal(bench.askOne({ type: FLUSH }).error, 0);
    }
  });
}

t.test('a flush that fails makes the request that wanted it fail', async (t) => {
  const bench = new SessionBench();
  bench.backend.fault = (operation) => (operation === 'flush' ? constants.errno.EIO : 0);
  const flags = CmdFlag.FUA;
  const range = { flags, offset: 0, length: 512 };
  for (const ask of [
    { type: WRITE, flags, offset: 0, payload: payload(512) },
    { type: WRITE, flags, offset: 0, payload: payload(300_000) },
    { type: TRIM, ...range },
    { type: WRITE_ZEROES, ...range },
  ]) {
    t.equal(bench.askOne(ask).error, EIO);
    t.equal(bench.askOne({ ...ask, flags: 0 }).error, 0);
  }
});

t.test('DF and REQ_ONE are known only where they can be used', async (t) => {
  const read = { type: READ, flags: CmdFlag.DF, offset: 0, length: 512 };
  t.equal(new SessionBench({ mode: 'simple' }).askOne(read).error, EINVAL);
  t.equal(new SessionBench({ mode: 'structured' }).askOne(read).error, 0);
  t.equal(new SessionBench({ mode: 'extended' }).askOne(read).error, 0);
});

t.test('extended headers: PAYLOAD_LEN where no payload belongs is refused behind the payload', async (t) => {
  const bench = new SessionBench({ mode: 'extended' });
  const flags = CmdFlag.PAYLOAD_LEN;
  for (const type of [READ, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, 99]) {
    t.equal(bench.askOne({ type, flags, offset: 0, payload: payload(70_000) }).error, EINVAL, `type ${type}`);
    t.equal(bench.askOne({ type: READ, offset: 0, length: 16 }).error, 0);
  }
});

t.test('compact headers: PAYLOAD_LEN is an unknown flag and no payload follows', async (t) => {
  const bench = new SessionBench({ mode: 'structured' });
  t.equal(bench.askOne({ type: TRIM, flags: CmdFlag.PAYLOAD_LEN, offset: 0, length: 512 }).error, EINVAL);
  t.equal(bench.askOne({ type: FLUSH }).error, 0);
});

t.test('extended headers: a payload that no one could drain ends the session', async (t) => {
  const bench = new SessionBench({ mode: 'extended' });
  bench.expect({ type: WRITE });
  bench.send(encodeAsk('extended', { type: WRITE, offset: 0, length: 2n ** 63n }));
  t.equal(bench.session.status, Status.BROKEN);
});

t.test('DISC ends the session whatever its flags and range are', async (t) => {
  const bench = new SessionBench();
  bench.ask({ type: DISC, flags: 0xffff, offset: 2n ** 64n - 1n, length: 12 });
  t.equal(bench.session.status, Status.FINISHED);
});
