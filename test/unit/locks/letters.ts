import type { LockRules } from '../../../driver/locks/lock-classes.js';
import { LockOrder, type LockReport } from '../../../driver/locks/lock-order.js';
import { OrderedMutex } from '../../../driver/locks/mutex.js';

export type Letter = 'A' | 'B' | 'C';

const letter = (kernelName: string) => ({ kernelName, guards: 'nothing' });

/** No table: any order is fine that closes no cycle. */
export const OPEN_RULES: LockRules<Letter> = { classes: { A: letter('a'), B: letter('b'), C: letter('c') } };

/** Three mutexes of three classes under one validator. */
export function letters(onReport: (report: LockReport) => void = () => {}) {
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

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Edges that were taken, with their counts: 'A>B 2'. */
export const edgesOf = <C extends string>(order: LockOrder<C>): string[] =>
  order
    .snapshot()
    .edges.filter((edge) => edge.count > 0)
    .map((edge) => `${edge.from}>${edge.to} ${edge.count}`);
