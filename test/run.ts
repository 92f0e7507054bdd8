/**
 * The test run: `node dist/test/run.js [suite ...] [--kernel 6.12]`, all suites but those on demand unless named, guests with that kernel.
 * Ends with one line of counts, and exits 0 when nothing failed, and under NBDLOOP_REQUIRE_ALL=1 nothing was skipped
 * either.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from './helpers/process.js';
import { requireAll } from './helpers/tools.js';
import { type Lanes, runInLanes } from './runner/lanes.js';
import { prefetchNodes, runsOnOtherNodes } from './runner/node-runs.js';
import { installPackages, missingPackages, refreshPackageLists } from './runner/packages.js';
import { GUESTS, SUITES, type Suite } from './runner/suites.js';
import { type Counts, exitStatus, total } from './runner/tap-report.js';
import { runFile, type TestRun } from './runner/test-file.js';
import { KERNEL_VARIABLE, KERNELS, kernelImage, runKernel } from './vm/kernel-image.js';

/**
 * A hang limit for everything, milliseconds from the start; what still runs then has failed. Twice what it takes: beside two
 * busy loops it has half of the machine.
 */
const LIMIT = 45 * 60_000;

const say = (text: string): void => console.log(`# ${text}`);

function chosenSuites(names: readonly string[]): readonly Suite[] {
  const unknown = names.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    throw new Error(`unknown suite ${unknown.join(', ')}; there are ${SUITES.map((s) => s.name).join(', ')}`);
  }
  return SUITES.filter(({ name, isOnDemand }) =>
    names.length === 0 ? isOnDemand !== true : names.includes(name),
  );
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

/** What a suite comes to. */
class Tally {
  readonly all: Counts[] = [];
  #milliseconds = 0;

  constructor(readonly suite: Suite) {}

  async add(work: Promise<Counts>): Promise<void> {
    const began = performance.now();
    this.all.push(await work);
    this.#milliseconds += performance.now() - began;
  }

  toString(): string {
    const { passed, failed, skipped } = total(this.all);
    const took = (this.#milliseconds / 1000).toFixed(0);
    return `${this.suite.name}: ${passed} passed, ${failed} failed, ${skipped} skipped; its files took ${took} s`;
  }
}

/** A file, and the suite that it counts for. */
interface Item extends TestRun {
  readonly tally: Tally;
}

/** Every file of the suites, by lane. */
async function itemsOf(tallies: readonly Tally[]): Promise<Lanes<Item>> {
  const item = (tally: Tally, run: Omit<TestRun, 'timeout'>): Item => {
    return { ...run, tally, timeout: tally.suite.fileTimeout };
  };
  const items = tallies.flatMap((tally) => testFiles(tally.suite.name).map((file) => item(tally, { file })));
  const nodes = tallies.find(({ suite }) => suite.name === 'nodes');
  if (nodes !== undefined) {
    const runs = await runsOnOtherNodes(testFiles('unit'), say);
    items.push(...runs.map((run) => item(nodes, run)));
  }
  return {
    guests: items.filter(({ file }) => GUESTS.test(file)),
    others: items.filter(({ file }) => !GUESTS.test(file)),
  };
}

/** Formatting and lint rules, as one check. */
async function lint(): Promise<Counts> {
  const ended = await run(join('node_modules', '.bin', 'biome'), ['check', '--colors=off', '.']);
  if (ended.status === 0) return { passed: 1, failed: 0, skipped: 0 };
  console.log(ended.stdout + ended.stderr);
  return { passed: 0, failed: 1, skipped: 0 };
}

/** Installs what is missing, and fetches the kernels of the guests ahead of the tests that boot them. */
async function prepare(suites: readonly Suite[]): Promise<void> {
  if (suites.some((suite) => suite.name === 'nodes')) prefetchNodes();
  await installPackages(missingPackages(suites));
  if (!suites.some((suite) => ['vm', 'long', 'nodes'].includes(suite.name))) return;
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
  const began = Date.now();
  const { positionals, values } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: { kernel: { type: 'string' } },
  });
  if (values.kernel !== undefined) process.env[KERNEL_VARIABLE] = values.kernel;
  const suites = chosenSuites(positionals);
  if (suites.some((suite) => suite.name === 'vm')) say(`guests run Linux ${runKernel()}`);
  await prepare(suites);
  const tallies = suites.map((suite) => new Tally(suite));
  for (const tally of tallies) if (tally.suite.name === 'unit') await tally.add(lint());
  await runInLanes(await itemsOf(tallies), ({ tally, ...one }) =>
    tally.add(runFile(one, began + LIMIT, console.log)),
  );
  for (const tally of tallies) say(String(tally));
  const sum = total(tallies.flatMap(({ all }) => all));
  if (requireAll && sum.skipped > 0) say('NBDLOOP_REQUIRE_ALL=1, yet something was skipped: see above');
  say(`in ${((Date.now() - began) / 1000).toFixed(0)} s`);
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  process.exitCode = exitStatus(sum, requireAll);
}

await main(process.argv.slice(2));
