/**
 * Runs test files, each by `node` as a program of its own that prints a TAP document.
 *
 * Not by tap's own runner: that loads module hooks into every Node program a test starts, a thread more in each
 * daemon and a third of a second each.
 */
import { start } from '../helpers/process.js';
import { type Counts, TapReport, total } from './tap-report.js';

export interface TestRun {
  readonly file: string;
  /** The Node that runs it, and whatever it starts with `process.execPath`; that of the test run unless told. */
  readonly node?: { readonly version: string; readonly program: string };
}

export interface FileLimits {
  /** Seconds before a file that sets no limit of its own has failed. */
  readonly fileTimeout: number;
  /** When everything has to be over: Date.now(). */
  readonly deadline: number;
}

/** Runs files, `jobs` at once, and says how each did. */
export async function runFiles(
  runs: readonly TestRun[],
  jobs: number,
  limits: FileLimits,
  say: (line: string) => void,
): Promise<Counts> {
  const waiting = [...runs];
  const counts: Counts[] = [];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      counts.push(await runFile(next, limits, say));
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return total(counts);
}

async function runFile(
  { file, node }: TestRun,
  { fileTimeout, deadline }: FileLimits,
  say: (line: string) => void,
): Promise<Counts> {
  const title = node === undefined ? file : `${file} on Node ${node.version}`;
  const report = new TapReport(title);
  const began = performance.now();
  await using program = start(node?.program ?? process.execPath, ['--enable-source-maps', file], {
    env: { TAP_TIMEOUT: String(fileTimeout) },
  });
  const { status, signal, stdout, stderr, timedOut } = await program.wait(Math.max(deadline - Date.now(), 1));
  report.write(stdout);
  report.end();
  const { counts } = report;
  const end = timedOut ? 'did not end in time' : `ended with ${signal ?? status}`;
  if (status !== 0 && counts.failed === 0) report.fail(end);
  if (counts.failed > 0) report.lines.push(`  ${title} ${end}`, stderr.trimEnd());
  const took = ((performance.now() - began) / 1000).toFixed(1);
  for (const line of report.lines) say(line);
  say(`${counts.failed === 0 ? 'ok' : 'not ok'} ${title} (${counts.passed} passed, ${took} s)`);
  return counts;
}
