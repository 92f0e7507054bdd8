/** The tables of docs/benchmarks.md. */
import { readFile, writeFile } from 'node:fs/promises';
import { describeConditions } from '../conditions.js';
import { type Report, type Section, toSection } from './figures.js';

const BEGIN = '<!-- bench: begin (written by `npm run bench -- --markdown`, not by hand) -->';
const END = '<!-- bench: end -->';

export const reportMarkdown = (report: Report): string => {
  const sections = report.results.map((result) => toSection(result, report.conditions.cores));
  const judged = sections.flatMap(({ workload, verdict }) =>
    verdict === undefined ? [] : [[workload.id, verdict.reached ? 'reached' : 'short', verdict.says]],
  );
  return [
    '## Conditions\n',
    ...describeConditions(report.conditions).map((line) => `- ${line}`),
    '',
    ...(judged.length === 0 ? [] : ['## Targets\n', rowsOf(['workload', '', 'found'], judged), '']),
    '## Workloads\n',
    ...sections.map(sectionMarkdown),
  ].join('\n');
};

const sectionMarkdown = (section: Section): string =>
  [
    `### ${section.heading}\n`,
    ...(section.rows.length === 0 ? [] : [rowsOf(section.columns, section.rows), '']),
    ...section.remarks.map((remark) => `- ${remark}`),
    '',
  ].join('\n');

const rowsOf = (columns: readonly string[], rows: readonly (readonly string[])[]): string => {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = columns.map((_, index) => (index === 0 ? '---' : '---:'));
  return [line(columns), line(rule), ...rows.map(line)].join('\n');
};

/** Writes the tables between the marks of an existing page, whose prose stays; a new page is made of them alone. */
export const writeMarkdown = async (path: string, report: Report): Promise<void> => {
  const tables = `${BEGIN}\n\n${reportMarkdown(report)}\n${END}`;
  const page = await readFile(path, 'utf8').catch(() => `# Benchmarks\n\n${BEGIN}\n${END}\n`);
  await writeFile(path, replaceTables(page, tables));
};

/** Throws where a page has no marks: it would be lost otherwise. */
export const replaceTables = (page: string, tables: string): string => {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin)
    throw new Error(`The page has no lines "${BEGIN}" and "${END}" to write between.`);
  return page.slice(0, begin) + tables + page.slice(end + END.length);
};
