import type { HeldLock } from './held-locks.js';
import type { LockEdge, LockRules } from './lock-classes.js';

/** What is known of one edge between two lock classes. */
export interface GraphEdge<C extends string> {
  readonly from: C;
  readonly to: C;
  readonly kind: 'declared' | 'undeclared' | 'wait';
  count: number;
  /** Why its first sight was reported, if it was: such an edge is no part of later chains. */
  mistake: 'circular' | 'undeclared-edge' | undefined;
  /** The first sight. */
  first: { readonly from: HeldLock; readonly to: HeldLock } | undefined;
}

/** An edge that must not be; `cycle` only at its first sight. */
export interface EdgeMistake<C extends string> {
  readonly kind: 'circular' | 'undeclared-edge';
  readonly cycle: readonly GraphEdge<C>[] | undefined;
}

/** Lock classes and the edges between them. Reported edges aside, the acquire edges never hold a cycle. */
export class LockGraph<C extends string> {
  readonly #edges = new Map<string, GraphEdge<C>>();
  /** True when there is a table: then an edge outside it is a mistake. */
  readonly #closed: boolean;

  /** Throws when the declared edges already contain a cycle. */
  constructor(rules: LockRules<C>) {
    this.#closed = rules.edges !== undefined;
    for (const [from, to] of rules.edges ?? []) {
      if (this.path(to, from) !== undefined)
        throw new Error(`The declared lock order is circular at ${from} -> ${to}.`);
      this.#add([from, to], 'declared');
    }
    for (const edge of rules.waits ?? []) this.#add(edge, 'wait');
  }

  edges(): readonly GraphEdge<C>[] {
    return [...this.#edges.values()];
  }

  /**
   * Records that `to` is acquired under `from`, and tells the mistake if it is one, with the dependencies that
   * lead from `to` back to `from` when it closes a cycle.
   *
   * Only the innermost held lock matters: the outer ones have edges of their own that lead to it.
   */
  record(from: HeldLock, to: HeldLock): EdgeMistake<C> | undefined {
    const key: LockEdge<C> = [from.lockClass as C, to.lockClass as C];
    const known = this.#edges.get(key.join(' '));
    const cycle = known === undefined ? this.path(key[1], key[0]) : undefined;
    const edge = known ?? this.#add(key, 'undeclared');
    edge.count++;
    edge.first ??= { from, to };
    if (known === undefined) {
      edge.mistake = cycle !== undefined ? 'circular' : this.#closed ? 'undeclared-edge' : undefined;
    }
    return edge.mistake === undefined ? undefined : { kind: edge.mistake, cycle };
  }

  /** Shortest chain of good edges that leads from one class to another. */
  path(start: C, end: C): readonly GraphEdge<C>[] | undefined {
    const reached = new Map<C, readonly GraphEdge<C>[]>([[start, []]]);
    for (const [node, trail] of reached) {
      if (node === end && trail.length > 0) return trail;
      for (const edge of this.#edges.values()) {
        if (edge.from !== node || edge.mistake !== undefined) continue;
        if (edge.to === end) return [...trail, edge];
        if (!reached.has(edge.to)) reached.set(edge.to, [...trail, edge]);
      }
    }
    return undefined;
  }

  #add([from, to]: LockEdge<C>, kind: GraphEdge<C>['kind']): GraphEdge<C> {
    const edge: GraphEdge<C> = { from, to, kind, count: 0, mistake: undefined, first: undefined };
    // A wait and an acquire between the same classes are two edges.
    this.#edges.set(kind === 'wait' ? `${from} ~ ${to}` : `${from} ${to}`, edge);
    return edge;
  }
}
