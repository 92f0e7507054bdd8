/** One page: a line for each check, and below it what can be done. */

import type { Finding } from '../doctor/finding.js';

const MARKS: Readonly<Record<Finding['verdict'], string>> = { good: 'ok', note: 'note', bad: 'BAD' };

export function doctorText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const count = (verdict: Finding['verdict']): number =>
    findings.filter((finding) => finding.verdict === verdict).length;
  const lines = findings.map(({ check, verdict, says, help }) => {
    const line = `${MARKS[verdict].padEnd(4)}  ${check.padEnd(width)}  ${says}\n`;
    return help === undefined ? line : `${line}${' '.repeat(width + 8)}-> ${help}\n`;
  });
  return `${lines.join('')}${count('bad')} would break, ${count('note')} to know\n`;
}
