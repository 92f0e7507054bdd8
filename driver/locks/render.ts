import type { LockReportJson, LockReportKind, LockSiteJson } from './snapshot.js';

/** Lock reports as text, in the shape that kernel developers know from lockdep. Pure functions. */

const TITLES: Record<LockReportKind, string> = {
  circular: 'possible circular locking dependency detected',
  'undeclared-edge': 'lock order outside the declared table detected',
  recursion: 'possible recursive locking detected',
  'wrong-owner': 'lock released by a task that does not hold it',
  'held-at-end': 'task ended with a lock still held',
  'unbalanced-release': 'bad unlock balance detected',
};

const RULER = '='.repeat(54);
const DASHES = '-'.repeat(54);

const lockOf = (site: LockSiteJson): string => `(${site.lockClass}) ${site.name}`;
const stackOf = (stack: readonly string[]): string[] => stack.map((line) => `       ${line}`);

/** 'a -> b -> c -> a'. */
export const chainText = (report: Pick<LockReportJson, 'kind' | 'chain'>): string =>
  [...report.chain, ...(report.kind === 'circular' ? report.chain.slice(0, 1) : [])].join(' -> ');

const conflictLines = ({ conflict }: Omit<LockReportJson, 'text'>): string[] =>
  conflict === null
    ? []
    : [
        '',
        'but the task already holds:',
        `  ${lockOf(conflict)}, acquired by ${conflict.task} at:`,
        ...stackOf(conflict.stack),
      ];

const SOURCES = {
  seen: 'first seen at:',
  declared: 'declared lock order, not seen yet',
  wait: 'declared wait: the second must be released before the first can be had',
} as const;

function dependencyLines(report: Omit<LockReportJson, 'text'>): string[] {
  if (report.kind !== 'circular') return [];
  const lines = [
    '',
    'which already depends on the new lock. The existing dependency chain (in reverse order):',
  ];
  report.links.toReversed().forEach((link, index) => {
    lines.push(
      '',
      `-> #${report.links.length - 1 - index} ${link.from} -> ${link.to}: ${SOURCES[link.source]}`,
    );
    lines.push(...stackOf(link.stack));
  });
  return lines;
}

function chainLines(report: Omit<LockReportJson, 'text'>): string[] {
  if (report.chain.length < 2) return [];
  return ['', 'Chain of locks:', `  ${chainText(report)}`];
}

/** Two tasks that deadlock: one takes the new edge, the other what closes the cycle. */
function scenarioLines({ kind, subject, conflict, links }: Omit<LockReportJson, 'text'>): string[] {
  const last = links.at(-1);
  if (kind !== 'circular' || conflict === null || last === undefined) return [];
  const rows: [string, string][] = [
    [`lock(${conflict.lockClass})`, ''],
    ...links.map((link): [string, string] => [
      '',
      link.source === 'wait' ? `wait(${link.from})` : `lock(${link.from})`,
    ]),
    ['', `lock(${last.to})`],
    [`lock(${subject.lockClass})`, ''],
  ];
  const width = Math.max(...rows.map(([left]) => left.length)) + 6;
  const row = ([left, right]: [string, string]): string => `  ${left.padEnd(width)}${right}`.trimEnd();
  return [
    '',
    'Possible unsafe locking scenario:',
    row(['task A', 'tasks B']),
    ...rows.map(row),
    '',
    '  *** DEADLOCK ***',
  ];
}

const heldLines = ({ held, subject }: Omit<LockReportJson, 'text'>): string[] => [
  '',
  held.length === 0 ? `No lock is held by ${subject.task}.` : `Locks held by ${subject.task}:`,
  ...held.flatMap((site, index) => [`  #${index}: ${lockOf(site)}, at:`, ...stackOf(site.stack)]),
];

const ACTIONS: Record<LockReportKind, string> = {
  circular: 'is trying to acquire',
  'undeclared-edge': 'is trying to acquire',
  recursion: 'is trying to acquire',
  'wrong-owner': 'is trying to release',
  'held-at-end': 'ended with',
  'unbalanced-release': 'is trying to release',
};

export function reportText(report: Omit<LockReportJson, 'text'>): string {
  const { subject } = report;
  return [
    RULER,
    `WARNING: ${TITLES[report.kind]}`,
    DASHES,
    `${subject.task} ${ACTIONS[report.kind]}:`,
    `  ${lockOf(subject)}, at:`,
    ...stackOf(subject.stack),
    ...conflictLines(report),
    ...dependencyLines(report),
    ...chainLines(report),
    ...scenarioLines(report),
    ...heldLines(report),
    RULER,
  ].join('\n');
}

export const reportTitle = (kind: LockReportKind): string => TITLES[kind];
