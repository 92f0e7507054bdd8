/** The bench proper: nbdloop beside its peers. */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { lookAround } from '../conditions.js';
import type { Options } from '../options.js';
import { type Report, toSection } from '../report/figures.js';
import { reportHtml } from '../report/html.js';
import { reportMarkdown, writeMarkdown } from '../report/markdown.js';
import { conditionsText, reportText, sectionText, targetsText } from '../report/text.js';
import type { WorkloadResult } from '../results.js';
import { runWorkloads } from '../rounds.js';
import { installedServers } from '../servers/index.js';
import { selectWorkloads, WORKLOADS, type Workload } from '../workloads.js';
import { imageSizes, imagesFor, inWorkspace, progress } from '../workspace.js';

const chooseWorkloads = ({ only, quick }: Options): readonly Workload[] => {
  if (only !== undefined) return selectWorkloads(only);
  return quick ? WORKLOADS.filter((workload) => workload.quick === true) : WORKLOADS;
};

const measureAll = (options: Options, signal: AbortSignal): Promise<Report> =>
  inWorkspace(options, signal, async (workspace) => {
    const { peers, quick, keepAwake } = options;
    const workloads = chooseWorkloads(options);
    const servers = await installedServers(
      peers === undefined ? undefined : ['nbdloop', ...peers],
      keepAwake,
    );
    const runs = { rounds: options.rounds ?? (quick ? 2 : 5), runtime: options.runtime ?? (quick ? 1 : 3) };
    const [loadBefore = 0] = loadavg();
    const conditions = await lookAround({
      ...workspace,
      ...imageSizes(options),
      ...runs,
      servers,
      loadBefore,
    });
    console.log(conditionsText({ conditions }));
    if (conditions.fio === undefined)
      throw new Error('fio is not installed: it is the client of most workloads.');
    const results = await runWorkloads({
      ...runs,
      workloads,
      servers: servers.map(({ server }) => server),
      images: await imagesFor(workspace, workloads),
      directory: workspace.memoryDirectory,
      cores: cpus().length,
      signal,
      progress,
      finished: (result) => show(result, conditions.cores),
    });
    return { conditions, results };
  });

const show = (result: WorkloadResult, cores: number): void => {
  progress('');
  console.log(sectionText(toSection(result, cores)));
};

const readReport = async (file: string): Promise<Report> =>
  JSON.parse(await readFile(file, 'utf8')) as Report;

/** Measures, or takes what was measured before, and writes the reports that are asked for. */
export const compareServers = async (options: Options, signal: AbortSignal): Promise<void> => {
  const { from, json, html, markdown } = options;
  const reports =
    from === undefined ? [await measureAll(options, signal)] : await Promise.all(from.map(readReport));
  for (const report of reports) console.log(from === undefined ? targetsText(report) : reportText(report));
  if (json !== undefined && from === undefined) await writeFile(json, `${JSON.stringify(reports[0])}\n`);
  if (html !== undefined) await writeFile(html, await reportHtml(reports));
  if (markdown !== undefined) await writeMarkdown(markdown, 'bench', reports.map(reportMarkdown).join('\n'));
};

/** What `--only` and `--peers` may name. */
export const listEverything = async (): Promise<void> => {
  for (const { id, title } of WORKLOADS) console.log(`${id.padEnd(24)}${title}`);
  for (const { server, version } of await installedServers(undefined)) {
    console.log(`${server.name.padEnd(24)}${version}`);
  }
};
