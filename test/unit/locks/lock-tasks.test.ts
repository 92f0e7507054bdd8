/** Who holds what: tasks, branches, owners, and locks that outlive their task. */
import t from 'tap';
import type { LockOrder } from '../../../driver/locks/lock-order.js';
import type { OrderedMutex } from '../../../driver/locks/mutex.js';
import { edgesOf, type Letter, letters, turn } from './letters.js';

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
