/** `npm run bench`: measures nbdloop beside its peers. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { runChecks } from './checks/index.js';
import { lookAround } from './conditions.js';
import { makeImages } from './images.js';
import { type Options, parseOptions } from './options.js';
import { type Report, toSection } from './report/figures.js';
import { reportHtml } from './report/html.js';
import { writeMarkdown } from './report/markdown.js';
import { conditionsText, reportText, sectionText, targetsText } from './report/text.js';
import type { WorkloadResult } from './results.js';
import { runWorkloads } from './rounds.js';
import { type Installed, installedServers } from './servers/index.js';
import { selectWorkloads, WORKLOADS, type Workload } from './workloads.js';

const GIB = 1024 ** 3;

const progress = (says: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${says}`);
};

const chooseWorkloads = (options: Options): readonly Workload[] => {
  if (options.only !== undefined) return selectWorkloads(options.only);
  return options.quick ? WORKLOADS.filter(({ quick }) => quick === true) : WORKLOADS;
};

const chooseServers = async ({ peers }: Options): Promise<Installed[]> =>
  installedServers(peers === undefined ? undefined : ['nbdloop', ...peers]);

interface Directories {
  readonly memoryDirectory: string;
  readonly diskDirectory: string;
}

/** Works in directories of the run's own, which are removed. */
const inDirectories = async <T>(
  options: Options,
  work: (directories: Directories) => Promise<T>,
): Promise<T> => {
  const memoryDirectory = await mkdtemp(`${options.memoryDirectory}/nbdloop-bench.`);
  const diskDirectory = await mkdtemp(`${options.diskDirectory}/nbdloop-bench.`);
  try {
    return await work({ memoryDirectory, diskDirectory });
  } finally {
    for (const directory of [memoryDirectory, diskDirectory])
      await rm(directory, { recursive: true, force: true });
  }
};

const measureAll = (options: Options, signal: AbortSignal): Promise<Report> =>
  inDirectories(options, async (directories) => {
    const workloads = chooseWorkloads(options);
    const servers = await chooseServers(options);
    const sizes = { memorySize: options.quick ? GIB / 4 : GIB, diskSize: options.quick ? GIB : 4 * GIB };
    const runs = {
      rounds: options.rounds ?? (options.quick ? 2 : 5),
      runtime: options.runtime ?? (options.quick ? 1 : 3),
    };
    const [loadBefore = 0] = loadavg();
    const conditions = await lookAround({ ...directories, ...sizes, ...runs, servers, loadBefore });
    console.log(conditionsText({ conditions }));
    if (conditions.fio === undefined)
      throw new Error('fio is not installed: it is the client of most workloads.');
    const images = await makeImages({
      ...directories,
      ...sizes,
      media: new Set(
        workloads.filter(({ load }) => load.client !== 'guest').map(({ setup }) => setup.medium),
      ),
      copies: workloads.some(({ load }) => load.client === 'nbdcopy'),
      tls: workloads.some(({ setup }) => setup.tls),
      signal,
      progress,
    });
    const results = await runWorkloads({
      ...{ workloads, servers: servers.map(({ server }) => server), ...runs, images, signal, progress },
      directory: directories.memoryDirectory,
      cores: cpus().length,
      finished: (result) => show(result, conditions.cores),
    });
    return { conditions, results };
  });

const checkAll = (options: Options, names: readonly string[], signal: AbortSignal): Promise<void> =>
  inDirectories(options, async (directories) => {
    const setup = { medium: 'memory', transport: 'unix', tls: false, direct: false } as const;
    const sizes = { memorySize: GIB / 4, diskSize: 0 };
    const images = await makeImages({
      ...directories,
      ...sizes,
      media: new Set(['memory']),
      copies: false,
      tls: false,
      signal,
      progress,
    });
    const site = { setup, image: images.memory, directory: directories.memoryDirectory, certificates: '' };
    const results = await runChecks(names, { site, minutes: options.minutes, signal, progress });
    progress('');
    for (const { name, reached, says } of results)
      console.log(`${name}: ${reached ? 'reached' : 'SHORT'} (${says})`);
  });

const show = (result: WorkloadResult, cores: number): void => {
  progress('');
  console.log(sectionText(toSection(result, cores)));
};

const listAll = async (): Promise<void> => {
  for (const { id, title } of WORKLOADS) console.log(`${id.padEnd(24)}${title}`);
  for (const { server, version } of await installedServers(undefined))
    console.log(`${server.name.padEnd(24)}${version}`);
};

const main = async (options: Options, signal: AbortSignal): Promise<void> => {
  if (options.list) return listAll();
  if (options.check !== undefined) return checkAll(options, options.check, signal);
  const report =
    options.from === undefined
      ? await measureAll(options, signal)
      : (JSON.parse(await readFile(options.from, 'utf8')) as Report);
  console.log(options.from === undefined ? targetsText(report) : reportText(report));
  if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(report)}\n`);
  if (options.html !== undefined) await writeFile(options.html, await reportHtml(report));
  if (options.markdown !== undefined) await writeMarkdown(options.markdown, report);
};

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
try {
  await main(parseOptions(process.argv.slice(2)), interrupted.signal);
} catch (error) {
  progress('');
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
