import type { HeldLock } from './held-locks.js';
import type { LockRules } from './lock-classes.js';
import type { GraphEdge } from './lock-graph.js';
import { type LockReport, siteJson } from './lock-report.js';
import type { LockClassJson, LockdepSnapshot, LockEdgeJson } from './snapshot.js';

/** The validator's state that a snapshot is taken of. */
export interface LockdepState<C extends string> {
  readonly rules: LockRules<C>;
  readonly edges: readonly GraphEdge<C>[];
  readonly counts: ReadonlyMap<C, { readonly acquires: number; readonly contended: number }>;
  readonly live: ReadonlySet<HeldLock>;
  readonly reports: readonly LockReport[];
}

function classJson<C extends string>(name: C, { rules, counts, live }: LockdepState<C>): LockClassJson {
  const { kernelName, guards } = rules.classes[name];
  const { acquires, contended } = counts.get(name) ?? { acquires: 0, contended: 0 };
  const mine = [...live].filter((lock) => lock.lockClass === name);
  const held = mine.filter((lock) => lock.state === 'held').length;
  return { name, kernelName, guards, acquires, contended, held, waiting: mine.length - held };
}

const edgeJson = <C extends string>({
  from,
  to,
  count,
  kind,
  mistake,
  first,
}: GraphEdge<C>): LockEdgeJson => ({
  from,
  to,
  count,
  kind,
  reported: mistake !== undefined,
  first:
    first === undefined
      ? null
      : { task: String(first.to.scope.task), from: siteJson(first.from), to: siteJson(first.to) },
});

/** Everything JSON-ready, and no longer tied to the validator. */
export const lockdepSnapshot = <C extends string>(state: LockdepState<C>): LockdepSnapshot => ({
  classes: (Object.keys(state.rules.classes) as C[]).map((name) => classJson(name, state)),
  edges: state.edges.map(edgeJson),
  holders: [...state.live].map((lock) => ({
    ...siteJson(lock),
    state: lock.state === 'held' ? 'held' : 'waiting',
    since: Math.max(0, performance.now() - lock.since),
  })),
  reports: state.reports.map((report) => report.toJSON()),
});
