import type { LockLinkJson, LockReportJson, LockReportKind, LockSiteJson } from './snapshot.js';

/** Lock reports as text, in the shape that kernel developers know from lockdep. Pure functions. */

/** What a report's text is made from. */
export type Untold = Omit<LockReportJson, 'text'>;

interface Wording {
  readonly title: string;
  /** What the task does with the subject. */
  readonly action: string;
  /** How the conflicting lock stands to that. */
  readonly conflict: string;
}

const ACQUIRE = { action: 'is trying to acquire', conflict: 'but the task already holds:' };

const WORDING: Record<LockReportKind, Wording> = {
  circular: { title: 'possible circular locking dependency detected', ...ACQUIRE },
  'undeclared-edge': { title: 'lock order outside the declared table detected', ...ACQUIRE },
  recursion: { title: 'possible recursive locking detected', ...ACQUIRE },
  'wrong-owner': {
    title: 'lock released by a task that does not own it',
    action: 'is trying to release',
    conflict: 'which another task owns:',
  },
  'held-at-end': { title: 'task ended with a lock still held', action: 'ended with', conflict: '' },
  'unbalanced-release': {
    title: 'bad unlock balance detected',
    action: 'is trying to release',
    conflict: 'which is not held any more:',
  },
};

const SOURCES: Record<LockLinkJson['source'], string> = {
  seen: 'first seen at:',
  declared: 'declared lock order, not seen yet',
  wait: 'declared wait, no acquire shows it',
};

const RULER = '='.repeat(54);
const DASHES = '-'.repeat(54);

const lockText = (site: LockSiteJson): string => `  (${site.lockClass}) ${site.name}`;
const stackText = (stack: readonly string[]): string[] => stack.map((line) => `       ${line}`);

export const reportTitle = (kind: LockReportKind): string => WORDING[kind].title;

/** 'a -> b -> c', and for a cycle '-> a' again. */
export const chainText = ({ kind, chain }: Pick<Untold, 'kind' | 'chain'>): string =>
  [...chain, ...(kind === 'circular' ? chain.slice(0, 1) : [])].join(' -> ');

function conflictLines({ kind, conflict }: Untold): string[] {
  if (conflict === null) return [];
  const acquired = `${lockText(conflict)}, acquired by ${conflict.task} at:`;
  return ['', WORDING[kind].conflict, acquired, ...stackText(conflict.stack)];
}

function dependencyLines({ kind, links }: Untold): string[] {
  if (kind !== 'circular') return [];
  const lines = [
    '',
    'which already depends on the new lock.',
    'The existing dependency chain (in reverse order):',
  ];
  for (const [index, { from, to, source, stack }] of [...links.entries()].reverse()) {
    lines.push('', `-> #${index} ${from} -> ${to}: ${SOURCES[source]}`, ...stackText(stack));
  }
  return lines;
}

function chainLines(report: Untold): string[] {
  if (report.chain.length < 2) return [];
  return ['', 'Chain exists of:', `  ${chainText(report)}`, `  kernel: ${report.kernelChain.join(' -> ')}`];
}

/** One task takes the new edge, the others what closes the cycle. */
function scenarioLines({ kind, subject, conflict, links }: Untold): string[] {
  if (kind !== 'circular' || conflict === null) return [];
  const others = links.map(
    ({ from, to, source }) => `lock(${from}), then ${source === 'wait' ? 'wait' : 'lock'}(${to})`,
  );
  const width = `lock(${conflict.lockClass})`.length + 4;
  const left = (text: string): string => `  ${text}`;
  const right = (text: string): string => `  ${' '.repeat(width)}${text}`;
  return [
    '',
    'Possible unsafe locking scenario (this task left, others right):',
    left(`lock(${conflict.lockClass})`),
    ...others.map(right),
    left(`lock(${subject.lockClass})`),
    '  *** DEADLOCK ***',
  ];
}

function heldLines({ held, subject }: Untold): string[] {
  if (held.length === 0) return ['', `No lock is held by ${subject.task}.`];
  const locks = held.flatMap((site, index) => [
    `  #${index}:${lockText(site)}, at:`,
    ...stackText(site.stack),
  ]);
  return ['', `Locks held by ${subject.task}:`, ...locks];
}

/** The whole report. */
export function reportText(report: Untold): string {
  const { kind, subject } = report;
  return [
    RULER,
    `WARNING: ${WORDING[kind].title}`,
    DASHES,
    `${subject.task} ${WORDING[kind].action}:`,
    `${lockText(subject)}, at:`,
    ...stackText(subject.stack),
    ...conflictLines(report),
    ...dependencyLines(report),
    ...chainLines(report),
    ...scenarioLines(report),
    ...heldLines(report),
    RULER,
  ].join('\n');
}
