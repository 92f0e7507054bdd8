import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import t from 'tap';
import { ZERO_COPY_READ } from '../../../server/session/reads.js';
import { MAX_PAYLOAD } from '../../../server/session/request-rules.js';
import { Cmd, CmdFlag, WireErrno } from '../../../server/wire/constants.js';
import { PAGE } from '../../helpers/memory-backend.js';
import { type BenchOptions, SessionBench } from '../../helpers/session-bench.js';

const { READ, WRITE } = Cmd;
const { errno } = constants;
const SIZE = 1 << 20;
const MODES = ['simple', 'structured', 'extended'] as const;

/** A bench with a device full of data, and that data. */
function filled(options: BenchOptions): { bench: SessionBench; content: Buffer } {
  const bench = new SessionBench({ size: SIZE, ...options });
  const content = randomBytes(SIZE);
  bench.memory.fill(0, content);
  return { bench, content };
}

/** A bench whose device is data, hole, data, hole, ... of `run` bytes each. */
function striped(mode: 'structured' | 'extended', run: number): { bench: SessionBench; content: Buffer } {
  const bench = new SessionBench({ mode, size: SIZE, zeroCopy: true });
  for (let at = 0; at < SIZE; at += 2 * run) bench.memory.fill(at, randomBytes(run));
  return { bench, content: Buffer.from(bench.memory.content) };
}

for (const mode of MODES) {
  for (const zeroCopy of [false, true]) {
    const path = zeroCopy ? 'through a pipe' : 'by copy';
    t.test(`${mode}, ${path}: a large read is one piece of data`, async (t) => {
      const { bench, content } = filled({ mode, zeroCopy });
      const length = ZERO_COPY_READ + 12_345;
      const { data, shape } = bench.askOne({ type: READ, offset: 777, length });
      t.ok(data?.equals(content.subarray(777, 777 + length)));
      t.equal(shape, `data ${length}`);
      t.strictSame(bench.memory.log, [`${zeroCopy ? 'fillPipe' : 'read'} 777 ${length}`]);
      t.equal(bench.memory.pipes.size, 0, 'the pipe was given back');
    });

    t.test(`${mode}, ${path}: what lies past the end of a file that shrank reads as zeroes`, async (t) => {
      const { bench, content } = filled({ mode, zeroCopy });
      for (const fileSize of [SIZE / 2 + 100, 100, 0]) {
        bench.memory.fileSize = fileSize;
        for (const length of [512, 4096, ZERO_COPY_READ, SIZE]) {
          const { data } = bench.askOne({ type: READ, offset: 0, length });
          const expected = Buffer.concat([
            content.subarray(0, Math.min(fileSize, length)),
            Buffer.alloc(length),
          ]);
          t.ok(data?.equals(expected.subarray(0, length)), `${length} of ${fileSize}`);
        }
      }
    });

    t.test(`${mode}, ${path}: an error comes in place of the data`, async (t) => {
      const { bench } = filled({ mode, zeroCopy });
      bench.backend.fault = () => errno.EIO;
      const replies = bench.ask(
        { type: READ, cookie: 1n, offset: 0, length: 512 },
        { type: READ, cookie: 2n, offset: 0, length: SIZE },
      );
      t.strictSame(
        replies.map(({ cookie, error }) => [cookie, error]),
        [
          [1n, WireErrno.EIO],
          [2n, WireErrno.EIO],
        ],
      );
      t.equal(bench.memory.pipes.size, 0, 'the pipe was given back');
      bench.backend.fault = () => 0;
      t.equal(bench.askOne({ type: READ, offset: 0, length: SIZE }).error, 0);
    });
  }

  t.test(`${mode}: a file or pipe that can't be spliced is read by copy`, async (t) => {
    const { bench, content } = filled({ mode, zeroCopy: true });
    bench.backend.fault = (operation) => (operation === 'fillPipe' ? errno.ENOTSUP : 0);
    t.ok(bench.askOne({ type: READ, offset: 0, length: SIZE }).data?.equals(content));
    t.equal(bench.memory.pipes.size, 0);
    bench.pipe = () => undefined as never;
    t.ok(bench.askOne({ type: READ, offset: 0, length: SIZE }).data?.equals(content));
  });

  t.test(`${mode}: 32 MiB, the most a request may ask for`, async (t) => {
    const bench = new SessionBench({ mode, size: MAX_PAYLOAD });
    bench.memory.fill(MAX_PAYLOAD - PAGE, randomBytes(PAGE));
    const { data } = bench.askOne({ type: READ, offset: 0, length: MAX_PAYLOAD });
    t.ok(data?.equals(bench.memory.content));
    t.equal(bench.askOne({ type: READ, offset: 0, length: 512 }).error, 0);
  });
}

for (const mode of ['structured', 'extended'] as const) {
  t.test(`${mode}: holes of a large read are named, not sent`, async (t) => {
    const { bench, content } = striped(mode, 128 << 10);
    const { data, shape } = bench.askOne({ type: READ, offset: 64 << 10, length: 512 << 10 });
    t.ok(data?.equals(content.subarray(64 << 10, 576 << 10)));
    t.equal(shape, 'data 65536, hole 131072, data 131072, hole 131072, data 65536');
    const hole = bench.askOne({ type: READ, offset: 128 << 10, length: 128 << 10 });
    t.equal(hole.shape, 'hole 131072', 'a hole that is all of it');
  });

  t.test(`${mode}: with DF a read is one piece, holes or not`, async (t) => {
    const { bench, content } = striped(mode, 128 << 10);
    const { data, shape } = bench.askOne({ type: READ, flags: CmdFlag.DF, offset: 0, length: SIZE });
    t.equal(shape, `data ${SIZE}`);
    t.ok(data?.equals(content));
  });

  t.test(`${mode}: a small read is one piece`, async (t) => {
    const { bench } = striped(mode, PAGE);
    t.equal(bench.askOne({ type: READ, offset: 0, length: 8 * PAGE }).shape, `data ${8 * PAGE}`);
  });

  t.test(`${mode}: behind many runs the rest is sent as data`, async (t) => {
    const { bench, content } = striped(mode, PAGE);
    const { data, shape } = bench.askOne({ type: READ, offset: 0, length: SIZE });
    t.ok(data?.equals(content));
    t.equal(shape.split(', ').length, 17);
    t.equal(shape.split(', ').at(-1), `data ${SIZE - 16 * PAGE}`);
  });

  t.test(`${mode}: an error behind some runs takes them back`, async (t) => {
    const { bench } = striped(mode, 128 << 10);
    bench.backend.fault = (operation, offset) => (operation === 'read' && offset > SIZE / 2 ? errno.EIO : 0);
    const { error, shape } = bench.askOne({ type: READ, offset: 0, length: SIZE });
    t.equal(error, WireErrno.EIO);
    t.equal(shape, '', 'the error is the only chunk');
    t.equal(bench.askOne({ type: READ, offset: 0, length: SIZE / 2 }).error, 0);
  });
}

t.test('simple replies cannot name a hole', async (t) => {
  const bench = new SessionBench({ size: SIZE });
  const { shape, data } = bench.askOne({ type: READ, offset: 0, length: SIZE });
  t.equal(shape, `data ${SIZE}`);
  t.ok(data?.equals(Buffer.alloc(SIZE)));
});

t.test('replies to a batch leave in order, whatever path they took', async (t) => {
  const { bench, content } = filled({ mode: 'structured', zeroCopy: true });
  const asks = Array.from({ length: 40 }, (_, index) => ({
    type: index % 7 === 3 ? WRITE : READ,
    cookie: BigInt(index),
    offset: index * 512,
    ...(index % 7 === 3 ? { payload: content.subarray(index * 512, index * 512 + 512) } : {}),
    ...(index % 7 === 3 ? {} : { length: index % 3 === 0 ? ZERO_COPY_READ : 512 }),
  }));
  const replies = bench.ask(...asks);
  t.strictSame(
    replies.map(({ cookie }) => Number(cookie)),
    asks.map((_, index) => index),
  );
  for (const [index, { data }] of replies.entries()) {
    const { length, offset } = asks[index] ?? {};
    if (data !== undefined && offset !== undefined) {
      t.ok(data.equals(content.subarray(offset, offset + (length ?? 0))));
    }
  }
});
