/**
 * The test run: `node dist/test/run.js [suite ...]`, all suites unless named. Ends with one line of counts, and
 * exits 0 when nothing failed, and under NBDLOOP_REQUIRE_ALL=1 nothing was skipped either.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run, runOk, start } from './helpers/process.js';
import { requireAll } from './helpers/tools.js';
import { installPackages, missingPackages, refreshPackageLists } from './runner/packages.js';
import { SUITES, type Suite } from './runner/suites.js';
import { type Counts, exitStatus, TapReport, total } from './runner/tap-report.js';
import { kernelImage } from './vm/kernel-image.js';

/** A hang limit for everything (a run takes well below 25 minutes on two idle cores); what still runs then has failed. */
const DEADLINE = Date.now() + 40 * 60_000;

const say = (text: string): void => console.log(`# ${text}`);

function chosenSuites(names: readonly string[]): readonly Suite[] {
  const unknown = names.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    throw new Error(`unknown suite ${unknown.join(', ')}; there are ${SUITES.map((s) => s.name).join(', ')}`);
  }
  return names.length === 0 ? SUITES : SUITES.filter((suite) => names.includes(suite.name));
}

/** Compiled test files of a suite whose source still exists: dist/ may hold older ones. */
function testFiles(suite: Suite): string[] {
  const directory = join('test', suite.name);
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
  const files = testFiles(suite);
  if (files.length === 0) say(`${suite.name}: no test files`);
  else say(`${suite.name}: ${files.length} files`);
  const alone = files.filter((file) => suite.alone?.includes(basename(file, '.js')));
  const together = files.filter((file) => !alone.includes(file));
  return total([await runFiles(suite, suite.jobs, together), await runFiles(suite, 1, alone)]);
}

/** Runs test files under tap, `jobs` at once. */
async function runFiles(suite: Suite, jobs: number, files: readonly string[]): Promise<Counts> {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0 };
  const report = new TapReport(console.log);
  await using tap = start(
    join('node_modules', '.bin', 'tap'),
    [
      ...['run', '--disable-coverage', '--allow-empty-coverage', '--reporter=tap', '--no-color'],
      ...[`--jobs=${jobs}`, `--timeout=${suite.fileTimeout}`],
      ...files,
    ],
    { onOutput: (text) => report.write(text) },
  );
  const ended = await tap.wait(Math.max(DEADLINE - Date.now(), 1));
  report.end();
  const { counts } = report;
  if (ended.timedOut) say(`${suite.name} did not end in time`);
  // What tap calls a failure is one, also where its document does not show it.
  if (ended.status !== 0 && counts.failed === 0) {
    console.log(ended.stderr);
    counts.failed = 1;
  }
  return counts;
}

/** tap builds its test class from the plugins of .taprc; the run that has to build it first would not use it. */
async function buildTap(): Promise<void> {
  const built = join('node_modules', '@tapjs', 'test', 'test-built');
  // A class as it was installed has no node_modules beside it; one that was built here does.
  // Two builds at once break each other's: the second waits for the first, and finds nothing left to do.
  const build = `test -e ${join(built, 'node_modules')} || ${join('node_modules', '.bin', 'tap')} build`;
  await runOk('flock', ['node_modules', '-c', build], { timeoutMs: 180_000 });
  if (!existsSync(join(built, 'dist', 'esm', 'index.js')))
    throw new Error('tap was built halfway: install again (npm ci)');
}

/** Installs what is missing, and fetches the kernel of the guests ahead of the tests that boot it. */
async function prepare(suites: readonly Suite[]): Promise<void> {
  await buildTap();
  await installPackages(missingPackages(suites));
  if (!suites.some((suite) => suite.name === 'vm')) return;
  try {
    await kernelImage();
  } catch {
    await refreshPackageLists();
    await kernelImage().catch((error: Error) => say(`no kernel for the VM tests: ${error.message}`));
  }
}

async function main(names: readonly string[]): Promise<void> {
  const suites = chosenSuites(names);
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
