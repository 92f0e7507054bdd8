import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import t from 'tap';
import { MAX_PER_CONNECTION } from '../../../server/session/operations.js';
import { Cmd } from '../../../server/wire/constants.js';
import { type BenchOptions, SessionBench } from '../../helpers/session-bench.js';

const { READ, WRITE } = Cmd;
const { EAGAIN, EINVAL, ENOSPC } = constants.errno;
const BLOCK = 4096;
const BLOCKS = 64;

const read = (index: number, cookie = index + 1) => ({
  type: READ,
  cookie: BigInt(cookie),
  offset: index * BLOCK,
  length: BLOCK,
});

/** A device none of whose reads so far were in the page cache. */
const cold = (options: BenchOptions = {}) => {
  const content = randomBytes(BLOCKS * BLOCK);
  const bench = new SessionBench({ size: content.length, operations: 256, ...options });
  bench.memory.batchLimit = 16;
  bench.memory.fill(0, content);
  for (let i = 0; i < 16; i++) bench.memory.undone.set(i, EAGAIN);
  bench.ask(...Array.from({ length: 16 }, (_, i) => read(i)));
  while (bench.memory.started > 0) bench.end();
  bench.memory.undone.clear();
  bench.memory.log.length = 0;
  return { bench, content };
};

const blockOf = (content: Buffer, index: number) => content.subarray(index * BLOCK, (index + 1) * BLOCK);

for (const mode of ['simple', 'structured', 'extended'] as const) {
  t.test(
    `${mode}: where reads were not in the page cache, the next are started without asking`,
    async (t) => {
      const { bench, content } = cold({ mode });
      t.strictSame(bench.ask(read(5), read(6)), []);
      t.equal(bench.memory.started, 2);
      t.equal(bench.memory.inFlight, 2);
      const [last] = bench.end({ last: true });
      const [first] = bench.end();
      t.ok(last?.data?.equals(blockOf(content, 6)));
      t.ok(first?.data?.equals(blockOf(content, 5)));
      t.notOk(bench.memory.log.some((call) => call.startsWith('batch')));
      t.equal(bench.memory.inFlight, 0);
    },
  );

  t.test(`${mode}: a write in front of one is carried out before it is started`, async (t) => {
    const { bench } = cold({ mode });
    const payload = randomBytes(BLOCK);
    const [written] = bench.ask({ type: WRITE, cookie: 70n, offset: 3 * BLOCK, payload }, read(3, 71));
    t.equal(written?.cookie, 70n);
    const [reply] = bench.end();
    t.equal(reply?.cookie, 71n);
    t.ok(reply?.data?.equals(payload));
  });

  t.test(`${mode}: what fails in front of one is answered in its turn`, async (t) => {
    const { bench } = cold({ mode });
    bench.memory.undone.set(0, ENOSPC);
    const replies = bench.ask(
      { type: WRITE, cookie: 70n, offset: 0, payload: randomBytes(BLOCK) },
      { type: READ, cookie: 71n, offset: BLOCKS * BLOCK, length: BLOCK },
    );
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]),
      [
        [70n, ENOSPC],
        [71n, EINVAL],
      ],
    );
  });

  t.test(`${mode}: after some, the page cache is asked again, and has them`, async (t) => {
    const { bench, content } = cold({ mode });
    for (let i = 0; i < 1024; i++) {
      if (bench.ask(read(i % BLOCKS)).length > 0) t.fail(`read ${i} was not started`);
      bench.end();
    }
    for (let i = 0; i < 100; i++) {
      const { data } = bench.askOne(read(i % BLOCKS));
      if (!data?.equals(blockOf(content, i % BLOCKS))) t.fail(`block ${i % BLOCKS}`);
    }
    t.equal(bench.memory.inFlight, 0);
  });

  t.test(`${mode}: more than may be under way wait for one to end`, async (t) => {
    const { bench } = cold({ mode });
    const many = MAX_PER_CONNECTION + 10;
    bench.ask(...Array.from({ length: many }, (_, i) => read(i % BLOCKS, i + 1)));
    t.equal(bench.memory.started, MAX_PER_CONNECTION);
    let answered = 0;
    while (bench.memory.started > 0) answered += bench.end().length;
    t.equal(answered, many);
    t.equal(bench.memory.inFlight, 0);
  });

  t.test(`${mode}: one that may not be read is refused, not started`, async (t) => {
    const { bench } = cold({ mode });
    const { error } = bench.askOne({ type: READ, cookie: 9n, offset: BLOCKS * BLOCK, length: BLOCK });
    t.equal(error, EINVAL);
    t.equal(bench.memory.started, 0);
    t.equal(bench.memory.inFlight, 0);
  });
}

t.test('where nothing can be started they are read in place', async (t) => {
  const content = randomBytes(BLOCKS * BLOCK);
  const bench = new SessionBench({ size: content.length });
  bench.memory.batchLimit = 16;
  bench.memory.fill(0, content);
  for (let i = 0; i < 16; i++) bench.memory.undone.set(i, EAGAIN);
  for (let round = 0; round < 3; round++) {
    const replies = bench.ask(...Array.from({ length: 16 }, (_, i) => read(i)));
    t.equal(replies.length, 16);
    for (const [i, { data }] of replies.entries()) t.ok(data?.equals(blockOf(content, i)), `block ${i}`);
  }
});
