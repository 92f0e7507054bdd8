import { describeConditions } from '../conditions.js';
import { judgedOf, type Report, type Section, sectionsOf } from './figures.js';

/** A table for a terminal: the first column to the left, figures to the right. */
export const table = (columns: readonly string[], rows: readonly (readonly string[])[]): string => {
  const lines = [columns, ...rows];
  const widths = columns.map((_, index) => Math.max(...lines.map((cells) => cells[index]?.length ?? 0)));
  const cell = (text: string, index: number): string =>
    index === 0 ? text.padEnd(widths[index] ?? 0) : text.padStart(widths[index] ?? 0);
  return lines.map((cells) => cells.map(cell).join('  ').trimEnd()).join('\n');
};

export const sectionText = (section: Section): string =>
  [
    section.heading,
    ...(section.rows.length === 0 ? [] : [table(section.columns, section.rows)]),
    ...section.remarks.map((remark) => `  ${remark}`),
    '',
  ].join('\n');

/** The last lines: every target, and whether it was reached. */
export const targetsText = (report: Report): string => {
  const judged = judgedOf(sectionsOf(report));
  if (judged.length === 0) return '';
  const reached = judged.filter(({ verdict }) => verdict.reached).length;
  const rows = judged.map(({ id, verdict }) => [id, verdict.says]);
  const width = Math.max(...judged.map(({ id }) => id.length));
  const lines = rows.map(([id = '', says = '']) => `  ${id.padEnd(width)}  ${says}`);
  return [`Targets: ${reached} of ${judged.length} reached`, ...lines, ''].join('\n');
};

export const conditionsText = (report: Pick<Report, 'conditions'>): string =>
  [...describeConditions(report.conditions).map((line) => `  ${line}`), ''].join('\n');

export const reportText = (report: Report): string =>
  [conditionsText(report), ...sectionsOf(report).map(sectionText), targetsText(report)].join('\n');
