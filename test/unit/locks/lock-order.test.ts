import t from 'tap';
import { LockOrder } from '../../../driver/locks/lock-order.js';
import { OrderedMutex } from '../../../driver/locks/mutex.js';
import { edgesOf, type Letter, letters, OPEN_RULES, turn } from './letters.js';

t.test('the same order every time is no mistake, and edges are counted', async (t) => {
  const { order, a, b, nest } = letters();
  await nest('one', a, b);
  await nest('two', a, b);
  t.same(order.reports, []);
  t.same(edgesOf(order), ['A>B 2']);
});

t.test('two orders of two classes are a circular dependency, though nothing deadlocked', async (t) => {
  const { order, a, b, nest } = letters();
  await nest('forward', a, b);
  await nest('backward', b, a);
  const [report, ...others] = order.reports;
  t.same(others, []);
  t.match(report, {
    kind: 'circular',
    chain: ['B', 'A'],
    kernelChain: ['b', 'a'],
    subject: { lockClass: 'A', name: 'the A', task: /^backward \(#\d+\)$/ },
    conflict: { lockClass: 'B', name: 'the B', task: /^backward / },
    held: [{ lockClass: 'B' }],
    links: [{ from: 'A', to: 'B', source: 'seen' }],
  });
  t.ok(report instanceof Error);
});

t.test('a report names all three acquisition sites by file', async (t) => {
  const { order, a, b } = letters();
  async function takesForward() {
    using _a = await a.acquire();
    using _b = await b.acquire();
  }
  async function takesOuter() {
    return b.acquire();
  }
  async function takesInner() {
    return a.acquire();
  }
  await order.task('forward', takesForward);
  await order.task('backward', async () => {
    using _b = await takesOuter();
    using _a = await takesInner();
  });
  const [report] = order.reports;
  t.match(report?.conflict?.stack[0], /takesOuter .*lock-order\.test/);
  t.match(report?.subject.stack[0], /takesInner .*lock-order\.test/);
  t.match(report?.links[0]?.stack[0], /takesForward .*lock-order\.test/);
});

t.test('a cycle through three classes is found, whichever edge comes last', async (t) => {
  for (const start of [0, 1, 2]) {
    const { order, a, b, c, nest } = letters();
    const steps = [
      [a, b],
      [b, c],
      [c, a],
    ] as const;
    for (let i = 0; i < 3; i++) {
      const step = steps[(start + i) % 3];
      if (step !== undefined) await nest(`step ${i}`, step[0], step[1]);
      t.equal(order.reports.length, i === 2 ? 1 : 0);
    }
    t.same(order.reports[0]?.chain.toSorted(), ['A', 'B', 'C']);
    t.equal(order.reports[0]?.links.length, 2);
  }
});

t.test('a mistake made again is counted, not reported again', async (t) => {
  const told: string[] = [];
  const { order, a, b, nest } = letters(({ message }) => told.push(message));
  await nest('forward', a, b);
  for (let i = 0; i < 3; i++) await nest('backward', b, a);
  t.same(told, ['possible circular locking dependency detected: B -> A -> B (the A)']);
  t.match(order.reports, [{ count: 3 }]);
  t.same(edgesOf(order), ['A>B 1', 'B>A 3']);
});

t.test('a class acquired twice by one task is a report, also on two instances', async (t) => {
  const { order, a } = letters();
  const other = new OrderedMutex(order, 'A', 'another A');
  await order.task('recursive', async () => {
    using _a = await a.acquire();
    using _other = await other.acquire();
  });
  t.match(order.reports, [
    { kind: 'recursion', chain: ['A', 'A'], subject: { name: 'another A' }, conflict: { name: 'the A' } },
  ]);
  t.equal(order.reports.length, 1);
});

t.test(
  'several of a class in ascending rank, declared as such, are no report; in any other order they are',
  async (t) => {
    const { order, a, b } = letters();
    const other = new OrderedMutex(order, 'A', 'another A');
    await order.task('ascending', async () => {
      using _a = await a.acquire({ rank: 1 });
      using _other = await other.acquire({ rank: 2 });
      using _b = await b.acquire();
    });
    t.same(order.reports, []);
    t.same(edgesOf(order), ['A>B 1'], 'and nothing comes after itself');
    await order.task('descending', async () => {
      using _other = await other.acquire({ rank: 2 });
      using _a = await a.acquire({ rank: 1 });
    });
    t.match(order.reports, [{ kind: 'recursion', chain: ['A', 'A'] }]);
  },
);

t.test('two tasks on one class are no recursion', async (t) => {
  const { order, a } = letters();
  await Promise.all([1, 2].map((number) => order.task(`task ${number}`, () => a.runExclusive(turn))));
  t.same(order.reports, []);
  t.match(order.snapshot().classes[0], { name: 'A', acquires: 2, contended: 1, held: 0, waiting: 0 });
});

t.test('a table whose edges are circular is refused', (t) => {
  const edges = [
    ['A', 'B'],
    ['B', 'C'],
    ['C', 'A'],
  ] as const;
  t.throws(() => new LockOrder<Letter>({ rules: { ...OPEN_RULES, edges } }), {
    message: 'The declared lock order is circular at C -> A.',
  });
  t.end();
});
