/** The tables of docs/benchmarks.md. */
import { readFile, writeFile } from 'node:fs/promises';
import { type Conditions, describeConditions } from '../conditions.js';
import { type Profile, profileRemarks, profileTable } from '../profile/profile.js';
import { judgedOf, type Report, type Section, sectionsOf } from './figures.js';

/** What is written between marks of its own. */
export type Part = 'bench' | 'profile';

const begin = (what: Part): string =>
  `<!-- ${what}: begin (written by \`npm run bench -- --markdown\`, not by hand) -->`;
const end = (what: Part): string => `<!-- ${what}: end -->`;

export const reportMarkdown = (report: Report): string => {
  const sections = sectionsOf(report);
  const judged = judgedOf(sections).map(({ id, verdict }) => [id, verdict.says]);
  return [
    '## Conditions\n',
    ...describeConditions(report.conditions).map((line) => `- ${line}`),
    '',
    ...(judged.length === 0 ? [] : ['## Targets\n', rowsOf(['workload', 'found'], judged), '']),
    '## Workloads\n',
    ...sections.map(sectionMarkdown),
  ].join('\n');
};

export const profileMarkdown = (conditions: Conditions, profiles: readonly Profile[]): string => {
  const { columns, rows } = profileTable(profiles);
  const [first = ''] = describeConditions(conditions);
  const remarks = [first, ...profileRemarks(profiles)].map((remark) => `- ${remark}`);
  return [rowsOf(columns, rows), '', ...remarks, ''].join('\n');
};

const sectionMarkdown = (section: Section): string =>
  [
    `### ${section.heading}\n`,
    ...(section.rows.length === 0 ? [] : [rowsOf(section.columns, section.rows), '']),
    ...section.remarks.map((remark) => `- ${remark}`),
    '',
  ].join('\n');

export const rowsOf = (columns: readonly string[], rows: readonly (readonly string[])[]): string => {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = columns.map((_, index) => (index === 0 ? '---' : '---:'));
  return [line(columns), line(rule), ...rows.map(line)].join('\n');
};

/** Writes the tables between the marks of an existing page, whose prose stays; a new page is made of them alone. */
export const writeMarkdown = async (path: string, what: Part, text: string): Promise<void> => {
  const page = await readFile(path, 'utf8').catch(() => `# Benchmarks\n\n${begin(what)}\n${end(what)}\n`);
  await writeFile(path, replacePart(page, what, text));
};

/** Throws where a page has no marks: it would be lost otherwise. */
export const replacePart = (page: string, what: Part, text: string): string => {
  const from = page.indexOf(begin(what));
  const to = page.indexOf(end(what));
  if (from < 0 || to < from) {
    throw new Error(`The page has no lines "${begin(what)}" and "${end(what)}" to write between.`);
  }
  return `${page.slice(0, from)}${begin(what)}\n\n${text}\n${page.slice(to)}`;
};
