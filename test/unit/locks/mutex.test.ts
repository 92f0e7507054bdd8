import t from 'tap';
import { LoopError } from '../../../driver/errno.js';
import { LockOrder } from '../../../driver/locks/lock-order.js';
import { OrderedMutex } from '../../../driver/locks/mutex.js';
import { checkedLockOrder } from '../../helpers/lockdep.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('waiters get the mutex in the order of arrival', async (t) => {
  const order = checkedLockOrder(t);
  const mutex = new OrderedMutex(order, 'loMutex', 'loop0');
  const log: number[] = [];
  await Promise.all(
    [0, 1, 2, 3].map((number) =>
      order.task(`worker ${number}`, async () => {
        using _held = await mutex.acquire();
        log.push(number);
        await turn();
        log.push(number);
      }),
    ),
  );
  t.same(log, [0, 0, 1, 1, 2, 2, 3, 3]);
  t.equal(mutex.locked, false);
});

t.test('release is idempotent: a second one does not unlock the next holder', async (t) => {
  const order = checkedLockOrder(t);
  const mutex = new OrderedMutex(order, 'loMutex', 'loop0');
  const first = await order.task('first', async () => {
    const held = await mutex.acquire();
    held.release();
    return held;
  });
  await order.task('second', async () => {
    using _held = await mutex.acquire();
    first.release();
    t.equal(mutex.locked, true);
  });
  t.equal(mutex.locked, false);
});

t.test('a mutex is released when the work throws', async (t) => {
  const mutex = new OrderedMutex(checkedLockOrder(t), 'loMutex', 'loop0');
  await t.rejects(
    mutex.runExclusive(() => {
      throw new Error('work failed');
    }),
    { message: 'work failed' },
  );
  t.equal(mutex.locked, false);
});

t.test(
  'an aborted waiter rejects with the reason, is forgotten at once, and the next one gets the mutex',
  async (t) => {
    const order = checkedLockOrder(t);
    const mutex = new OrderedMutex(order, 'loMutex', 'loop0');
    const gone = new AbortController();
    const log: string[] = [];
    let unlock = (): void => {};
    const holder = order.task('holder', async () => {
      using _held = await mutex.acquire();
      await new Promise<void>((resolve) => {
        unlock = resolve;
      });
    });
    const cancelled = order.task('cancelled', () => mutex.acquire({ signal: gone.signal }));
    const next = order.task('next', () => mutex.runExclusive(() => log.push('next')));
    t.equal(mutex.waiters, 2);
    gone.abort(new Error('client gone'));
    t.equal(mutex.waiters, 1, 'nothing of the waiter is left in the queue');
    await t.rejects(cancelled, { message: 'client gone' });
    t.same(log, []);
    unlock();
    await Promise.all([holder, next]);
    t.same(log, ['next']);
    t.equal(mutex.locked, false);
  },
);

t.test('an abort between the grant and the waiter hands the mutex on', async (t) => {
  const order = checkedLockOrder(t);
  const mutex = new OrderedMutex(order, 'loMutex', 'loop0');
  const gone = new AbortController();
  const cancelled = order.task('cancelled', () => mutex.acquire({ signal: gone.signal }));
  t.equal(mutex.locked, true, 'granted, but the waiter has not run');
  gone.abort(new Error('client gone'));
  const next = order.task('next', () => mutex.runExclusive(() => 'next'));
  await t.rejects(cancelled, { message: 'client gone' });
  t.equal(await next, 'next');
  t.equal(mutex.locked, false);
});

t.test('a signal that is already aborted acquires nothing', async (t) => {
  const order = checkedLockOrder(t);
  const mutex = new OrderedMutex(order, 'loMutex', 'loop0');
  await t.rejects(mutex.acquire({ signal: AbortSignal.abort(new Error('draining')) }), {
    message: 'draining',
  });
  t.equal(mutex.locked, false);
  t.same(order.snapshot().holders, []);
});

t.test('listeners of a long-lived signal do not pile up', async (t) => {
  const order = checkedLockOrder(t);
  const mutex = new OrderedMutex(order, 'loMutex', 'loop0');
  const drain = new AbortController();
  let listeners = 0;
  const { signal } = drain;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  for (let i = 0; i < 50; i++) {
    await order.task('acquire', async () => (await mutex.acquire({ signal })).release());
  }
  t.equal(listeners, 0);
});

t.test('a task that acquires a mutex it holds gets EDEADLK and a report, and does not hang', async (t) => {
  const order = new LockOrder();
  const mutex = new OrderedMutex(order, 'loMutex', 'loop0');
  await order.task('twice', async () => {
    using _held = await mutex.acquire();
    await t.rejects(
      mutex.acquire(),
      new LoopError('EDEADLK', 'EDEADLK: loop0: the task already holds loMutex.'),
    );
    t.equal(mutex.waiters, 0);
  });
  t.equal(mutex.locked, false);
  t.match(order.reports, [{ kind: 'recursion', subject: { name: 'loop0' } }]);
});
