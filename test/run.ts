/**
 * The test run: `node dist/test/run.js [suite ...] [--kernel 6.12]`, all suites unless named, guests with that kernel.
 * Ends with one line of counts, and exits 0 when nothing failed, and under NBDLOOP_REQUIRE_ALL=1 nothing was skipped
 * either.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from './helpers/process.js';
import { requireAll } from './helpers/tools.js';
import { prefetchNodes, runsOnOtherNodes } from './runner/node-runs.js';
import { installPackages, missingPackages, refreshPackageLists } from './runner/packages.js';
import { SUITES, type Suite } from './runner/suites.js';
import { type Counts, exitStatus, total } from './runner/tap-report.js';
import { runFiles } from './runner/test-file.js';
import { KERNEL_VARIABLE, KERNELS, kernelImage, runKernel } from './vm/kernel-image.js';

/** A hang limit for everything; what still runs then has failed. */
const DEADLINE = Date.now() + 85 * 60_000;

/** Those that have no suite's `jobs`: none of them needs the machine for itself. */
const JOBS_OF_OTHERS = 2;

const say = (text: string): void => console.log(`# ${text}`);

function chosenSuites(names: readonly string[]): readonly Suite[] {
  const unknown = names.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    throw new Error(`unknown suite ${unknown.join(', ')}; there are ${SUITES.map((s) => s.name).join(', ')}`);
  }
  if (names.length > 0) return SUITES.filter((suite) => names.includes(suite.name));
  for (const { name, onDemand } of SUITES)
    if (onDemand !== undefined) say(`${name} is left out: ${onDemand}`);
  return SUITES.filter(({ onDemand }) => onDemand === undefined);
}

/** Compiled test files of a suite whose source still exists: dist/ may hold older ones. */
function testFiles(suite: string): string[] {
  const directory = join('test', suite);
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('dist', directory, name.replace(/\.ts$/, '.js')))
    .sort();
}

/** Formatting and lint rules, as one check. */
async function lint(): Promise<Counts> {
  const ended = await run(join('node_modules', '.bin', 'biome'), ['check', '--colors=off', '.']);
  if (ended.status === 0) return { passed: 1, failed: 0, skipped: 0 };
  console.log(ended.stdout + ended.stderr);
  return { passed: 0, failed: 1, skipped: 0 };
}

/** Runs a suite's files, says how they did, and counts. */
async function runSuite(suite: Suite): Promise<Counts> {
  const limits = { fileTimeout: suite.fileTimeout, deadline: DEADLINE };
  const files = testFiles(suite.name);
  say(`${suite.name}: ${files.length} files`);
  const own = files.map((file) => ({ file }));
  const counts = await runFiles(own, suite.jobs, limits, console.log);
  if (suite.name !== 'nodes') return counts;
  const others = await runsOnOtherNodes(testFiles('unit'), say);
  say(`${suite.name}: ${others.length} files of other suites, on other releases`);
  return total([counts, await runFiles(others, JOBS_OF_OTHERS, limits, console.log)]);
}

/** Installs what is missing, and fetches the kernels of the guests ahead of the tests that boot them. */
async function prepare(suites: readonly Suite[]): Promise<void> {
  await installPackages(missingPackages(suites));
  if (suites.some((suite) => suite.name === 'nodes')) prefetchNodes();
  if (!suites.some((suite) => ['vm', 'nodes'].includes(suite.name))) return;
  const fetchAll = async (): Promise<void> => {
    for (const version of KERNELS) await kernelImage({ version });
  };
  try {
    await fetchAll();
  } catch {
    await refreshPackageLists();
    await fetchAll().catch((error: Error) => say(`no kernel for the VM tests: ${error.message}`));
  }
}

async function main(words: readonly string[]): Promise<void> {
  const { positionals, values } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: { kernel: { type: 'string' } },
  });
  if (values.kernel !== undefined) process.env[KERNEL_VARIABLE] = values.kernel;
  const suites = chosenSuites(positionals);
  if (suites.some((suite) => suite.name === 'vm')) say(`guests run Linux ${runKernel()}`);
  await prepare(suites);
  const all: Counts[] = [];
  if (suites.some((suite) => suite.name === 'unit')) all.push(await lint());
  for (const suite of suites) {
    const began = Date.now();
    const counts = await runSuite(suite);
    all.push(counts);
    const { passed, failed, skipped } = counts;
    say(`${suite.name}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds(began)} s`);
  }
  const sum = total(all);
  if (requireAll && sum.skipped > 0) say('NBDLOOP_REQUIRE_ALL=1, yet something was skipped: see above');
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  process.exitCode = exitStatus(sum, requireAll);
}

const seconds = (since: number): string => ((Date.now() - since) / 1000).toFixed(0);

await main(process.argv.slice(2));
