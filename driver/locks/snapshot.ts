/** What the lock-order validator tells: JSON-ready types only, shared with the control API and its clients. */

/** Kinds of mistakes. */
export type LockReportKind =
  /** The new edge closes a cycle: two tasks can wait for each other. */
  | 'circular'
  /** The edge is outside the declared order (and closes no cycle yet). */
  | 'undeclared-edge'
  /** A task acquires a class that it already holds. */
  | 'recursion'
  /** A task releases a lock that another task holds. */
  | 'wrong-owner'
  /** A task ended with the lock held, or with an acquire still waiting. */
  | 'held-at-end'
  /** More releases than acquires. */
  | 'unbalanced-release';

/** Where and by whom a lock was acquired. */
export interface LockSiteJson {
  readonly lockClass: string;
  /** The lock's instance, e.g. 'loop0'. */
  readonly name: string;
  /** The task, e.g. 'loopClrFd loop0 (#12)'. */
  readonly task: string;
  /** Stack lines of the acquire, innermost first. */
  readonly stack: readonly string[];
}

/** A link of a chain: `from` was held when `to` was acquired. */
export interface LockLinkJson {
  readonly from: string;
  readonly to: string;
  /** How the validator knows: seen at run time, declared by the rules, or a declared wait. */
  readonly source: 'seen' | 'declared' | 'wait';
  /** Stack lines of the first acquire of `to` under `from`; empty when it was never seen. */
  readonly stack: readonly string[];
}

export interface LockReportJson {
  readonly kind: LockReportKind;
  /** One sentence. */
  readonly message: string;
  /** Lock classes along the offending chain, outermost first; a cycle is not repeated at its end. */
  readonly chain: readonly string[];
  /** The same chain in the kernel's names. */
  readonly kernelChain: readonly string[];
  /** The lock that was being acquired or released. */
  readonly subject: LockSiteJson;
  /** The lock already held that makes it a mistake, where there is one. */
  readonly conflict: LockSiteJson | null;
  /** Every lock the task held, outermost first. */
  readonly held: readonly LockSiteJson[];
  /** The dependencies that close the cycle, from the new lock back to the held one. */
  readonly links: readonly LockLinkJson[];
  /** How often the same mistake was made. */
  readonly count: number;
  /** The report as kernel developers know it. */
  readonly text: string;
}

export interface LockClassJson {
  readonly name: string;
  readonly kernelName: string;
  readonly guards: string;
  /** Acquires begun. */
  readonly acquires: number;
  /** Acquires that had to wait. */
  readonly contended: number;
  /** Held at this moment. */
  readonly held: number;
  /** Waiting at this moment. */
  readonly waiting: number;
}

export interface LockEdgeJson {
  readonly from: string;
  readonly to: string;
  /** How often it was taken; 0 for a declared edge or wait that was never seen. */
  readonly count: number;
  readonly kind: 'declared' | 'undeclared' | 'wait';
  /** True when the first sight of this edge was reported as a mistake. */
  readonly reported: boolean;
  /** Where the edge was first taken; null when it was never seen. */
  readonly first: { readonly task: string; readonly from: LockSiteJson; readonly to: LockSiteJson } | null;
}

/** A lock that is held or waited for at this moment. */
export interface LockHolderJson extends LockSiteJson {
  readonly state: 'waiting' | 'held';
  /** Milliseconds since the acquire began. */
  readonly since: number;
}

export interface LockdepSnapshot {
  readonly classes: readonly LockClassJson[];
  readonly edges: readonly LockEdgeJson[];
  readonly holders: readonly LockHolderJson[];
  readonly reports: readonly LockReportJson[];
}
