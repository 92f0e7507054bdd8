import t from 'tap';
import type { LockRules } from '../../../driver/locks/lock-classes.js';
import { LockOrder, type LockReport } from '../../../driver/locks/lock-order.js';
import { OrderedMutex } from '../../../driver/locks/mutex.js';

type Letter = 'A' | 'B' | 'C';

const letter = (kernelName: string) => ({ kernelName, guards: 'nothing' });

/** No table: any order is fine that closes no cycle. */
const OPEN_RULES: LockRules<Letter> = { classes: { A: letter('a'), B: letter('b'), C: letter('c') } };

function letters(onReport: (report: LockReport) => void = () => {}) {
  const order = new LockOrder<Letter>({ rules: OPEN_RULES, onReport });
  const [a, b, c] = (['A', 'B', 'C'] as const).map((name) => new OrderedMutex(order, name, `the ${name}`));
  if (a === undefined || b === undefined || c === undefined) throw new Error('unreachable');
  const nest = (name: string, outer: OrderedMutex<Letter>, inner: OrderedMutex<Letter>) =>
    order.task(name, async () => {
      using _outer = await outer.acquire();
      using _inner = await inner.acquire();
    });
  return { order, a, b, c, nest };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const edgesOf = <C extends string>(order: LockOrder<C>): string[] =>
  order
    .snapshot()
    .edges.filter((edge) => edge.count > 0)
    .map((edge) => `${edge.from}>${edge.to} ${edge.count}`);

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

t.test('an awaited callee leaves its lock with the caller', async (t) => {
  const { order, a, b } = letters();
  async function lockLate() {
    await turn();
    return a.acquire();
  }
  await order.task('caller', async () => {
    using _a = await lockLate();
    using _b = await b.acquire();
  });
  t.same(edgesOf(order), ['A>B 1']);
});

t.test('branches that run side by side do not hold each other’s locks', async (t) => {
  const shapes: Record<string, (order: LockOrder<Letter>, mutex: OrderedMutex<Letter>) => Promise<unknown>> =
    {
      'each its own task': (order, mutex) =>
        order.task('branch', async () => {
          await turn();
          using _held = await mutex.acquire();
          await turn();
          await turn();
        }),
      runExclusive: async (_order, mutex) => {
        await turn();
        await mutex.runExclusive(async () => {
          await turn();
          await turn();
        });
      },
      'acquires begun together': async (_order, mutex) => {
        using _held = await mutex.acquire();
        await turn();
        await turn();
      },
    };
  for (const [name, branch] of Object.entries(shapes)) {
    const { order, a, b, c } = letters();
    await order.task('parent', async () => {
      await Promise.all([branch(order, a), branch(order, b), branch(order, c)]);
    });
    t.same(edgesOf(order), [], name);
    t.same(order.reports, [], name);
  }
});

t.test('nested work inherits what its parent holds: task, scope and runExclusive', async (t) => {
  const { order, a, b, c } = letters();
  await order.task('parent', () =>
    a.runExclusive(async () => {
      await order.task('child', async () => (await b.acquire()).release());
      await order.scope(async () => (await c.acquire()).release());
    }),
  );
  t.same(edgesOf(order), ['A>B 1', 'A>C 1']);
});

t.test('what a parent acquires after the fork is not inherited', async (t) => {
  const { order, a, b } = letters();
  await order.task('parent', async () => {
    const child = order.task('child', async () => {
      await turn();
      await turn();
      (await b.acquire()).release();
    });
    using _a = await a.acquire();
    await child;
  });
  t.same(edgesOf(order), []);
});

t.test('detached work inherits nothing', async (t) => {
  const { order, a, b } = letters();
  let background: Promise<void> | undefined;
  await order.task('parent', () =>
    a.runExclusive(() => {
      background = order.detached('background', async () => (await b.acquire()).release());
    }),
  );
  await background;
  t.same(edgesOf(order), []);
});

t.test('a lock acquired in a scope and kept belongs to the enclosing scope', async (t) => {
  const { order, a, b } = letters();
  await order.task('parent', async () => {
    using _a = await order.scope(() => a.acquire());
    using _b = await b.acquire();
  });
  t.same(edgesOf(order), ['A>B 1']);
  t.same(order.reports, []);
});

t.test('code outside of any task is one task from its first acquire on', async (t) => {
  const { order, a, b } = letters();
  await (async () => {
    using _a = await a.acquire();
    await turn();
    using _b = await b.acquire();
  })();
  t.same(edgesOf(order), ['A>B 1']);
  t.same(order.snapshot().holders, []);
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

t.test('two tasks on one class are no recursion', async (t) => {
  const { order, a } = letters();
  await Promise.all([1, 2].map((number) => order.task(`task ${number}`, () => a.runExclusive(turn))));
  t.same(order.reports, []);
  t.match(order.snapshot().classes[0], { name: 'A', acquires: 2, contended: 1, held: 0, waiting: 0 });
});

t.test('a release by another task is a report, and the lock is released all the same', async (t) => {
  const { order, a } = letters();
  let hand: { release(): void } | undefined;
  let finish = (): void => {};
  const owner = order.task('owner', async () => {
    hand = await a.acquire();
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
  });
  await turn();
  order.task('thief', () => hand?.release());
  t.equal(a.locked, false);
  finish();
  await owner;
  t.match(order.reports, [
    { kind: 'wrong-owner', chain: ['A'], subject: { task: /^thief / }, conflict: { task: /^owner / } },
  ]);
  t.equal(order.reports.length, 1);
});

t.test('a release from outside of any task is a report when a task owns the lock', async (t) => {
  const { order, a } = letters();
  let finish = (): void => {};
  let hand: { release(): void } | undefined;
  const owner = order.task('owner', async () => {
    hand = await a.acquire();
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
  });
  await turn();
  hand?.release();
  finish();
  await owner;
  t.match(order.reports, [{ kind: 'wrong-owner', subject: { task: 'no task' } }]);
});

t.test(
  'a lock held at the end of its task is a report: returned, thrown over, or still waited for',
  async (t) => {
    const { order, a, b } = letters();
    const held = await order.task('returns it', () => a.acquire());
    const [report] = order.reports;
    t.match(report, { kind: 'held-at-end', subject: { lockClass: 'A', task: /^returns it / } });
    held.release();
    t.equal(order.reports.length, 1, 'its late release is not a second mistake');

    let late: { release(): void } | undefined;
    await t.rejects(
      order.task('throws', async () => {
        late = await b.acquire();
        throw new Error('after the acquire');
      }),
      { message: 'after the acquire' },
    );
    t.match(order.reports[1], { kind: 'held-at-end', subject: { lockClass: 'B', task: /^throws / } });

    late?.release();

    const { order: other, c } = letters();
    await other.task('holder', () =>
      c.runExclusive(() => {
        other.detached('does not await', () => {
          void c.acquire({ signal: AbortSignal.timeout(10) }).catch(() => {});
        });
      }),
    );
    t.match(other.reports, [{ kind: 'held-at-end', subject: { task: /^does not await / } }]);
  },
);

t.test('expectIdle reports what nobody will release', async (t) => {
  const { order, a } = letters();
  const held = await a.acquire();
  t.same(order.reports, []);
  order.expectIdle();
  order.expectIdle();
  t.match(order.reports, [{ kind: 'held-at-end', subject: { lockClass: 'A' }, count: 1 }]);
  held.release();
});

t.test('a waiter that is cancelled leaves no trace in the held set', async (t) => {
  const { order, a, b } = letters();
  await order.task('parent', async () => {
    const blocker = await a.acquire();
    const gone = new AbortController();
    const waiting = order.task('waiter', async () => {
      await t.rejects(b.acquire({ signal: AbortSignal.abort(new Error('no')) }));
      await t.rejects(a.acquire({ signal: gone.signal }));
      t.same(order.snapshot().holders.length, 1);
    });
    gone.abort(new Error('gone'));
    await waiting;
    blocker.release();
  });
  t.same(order.snapshot().holders, []);
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
