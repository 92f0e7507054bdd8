import type { HeldLock } from './held-locks.js';
import type { GraphEdge } from './lock-graph.js';
import { chainText, reportText, reportTitle } from './render.js';
import { type Site, stackLines } from './site.js';
import type { LockLinkJson, LockReportJson, LockReportKind, LockSiteJson } from './snapshot.js';

export const siteJson = (lock: HeldLock): LockSiteJson => ({
  lockClass: lock.lockClass,
  name: lock.name,
  task: String(lock.scope.task),
  stack: stackLines(lock.site),
});

const linkJson = (edge: GraphEdge<string>): LockLinkJson => ({
  from: edge.from,
  to: edge.to,
  source: edge.kind === 'wait' ? 'wait' : edge.first === undefined ? 'declared' : 'seen',
  stack: edge.first === undefined ? [] : stackLines(edge.first.to.site),
});

/**
 * Classes along a cycle. It starts behind the declared wait, where there is one: there stands the lock whose
 * holder everybody waits for at last.
 */
function cycleChain(held: string, links: readonly GraphEdge<string>[]): string[] {
  const start = links.findIndex((edge) => edge.kind === 'wait') + 1;
  const nodes = [...links.map((edge) => edge.from), held];
  return start === 0 ? [held, ...nodes.slice(0, -1)] : [...nodes.slice(start), ...nodes.slice(0, start)];
}

/** What a report is made from. */
export interface Mistake {
  readonly kind: LockReportKind;
  readonly subject: HeldLock;
  /** Who does it and where; the subject's own acquire when left out. */
  readonly by?: { readonly task: string; readonly site: Site };
  readonly conflict?: HeldLock | undefined;
  readonly held?: readonly HeldLock[];
  readonly cycle?: readonly GraphEdge<string>[] | undefined;
}

function chainOf({ kind, subject, conflict, cycle }: Mistake): string[] {
  if (kind === 'circular') return cycleChain(conflict?.lockClass ?? subject.lockClass, cycle ?? []);
  const outer = kind === 'undeclared-edge' || kind === 'recursion' ? conflict : undefined;
  return outer === undefined ? [subject.lockClass] : [outer.lockClass, subject.lockClass];
}

/** A lock-order mistake: an error with structure, whose `text` is what lockdep would print. */
export class LockReport extends Error {
  override readonly name = 'LockReport';
  readonly kind: LockReportKind;
  readonly chain: readonly string[];
  readonly kernelChain: readonly string[];
  readonly subject: LockSiteJson;
  readonly conflict: LockSiteJson | null;
  readonly held: readonly LockSiteJson[];
  readonly links: readonly LockLinkJson[];
  /** How often the same mistake was made. */
  count = 1;

  constructor(mistake: Mistake, kernelName: (lockClass: string) => string) {
    const chain = chainOf(mistake);
    const { kind, subject, by, conflict } = mistake;
    super(`${reportTitle(kind)}: ${chainText({ kind, chain })} (${subject.name})`);
    this.kind = kind;
    this.chain = chain;
    this.kernelChain = chain.map(kernelName);
    const site = siteJson(subject);
    this.subject = by === undefined ? site : { ...site, task: by.task, stack: stackLines(by.site) };
    this.conflict = conflict === undefined ? null : siteJson(conflict);
    this.held = (mistake.held ?? []).map(siteJson);
    this.links = (mistake.cycle ?? []).map(linkJson);
  }

  get text(): string {
    return reportText(this);
  }

  toJSON(): LockReportJson {
    const { kind, message, chain, kernelChain, subject, conflict, held, links, count, text } = this;
    return { kind, message, chain, kernelChain, subject, conflict, held, links, count, text };
  }
}
