/**
 * Runs a test file by `node` as a program of its own that prints a TAP document.
 *
 * Not by tap's own runner: that loads module hooks into every Node program a test starts, a thread more in each
 * daemon and a third of a second each.
 */
import { start } from '../helpers/process.js';
import { type Counts, TapReport } from './tap-report.js';

export interface TestRun {
  readonly file: string;
  /** Seconds before the file, if it sets no limit of its own, has failed. */
  readonly timeout: number;
  /** The Node that runs it, and whatever it starts with `process.execPath`; that of the test run unless told. */
  readonly node?: { readonly version: string; readonly program: string };
}

/** Runs a file, says how it did, and counts. `deadline`: when everything has to be over, as Date.now(). */
export async function runFile(
  { file, node, timeout }: TestRun,
  deadline: number,
  say: (line: string) => void,
): Promise<Counts> {
  const title = node === undefined ? file : `${file} on Node ${node.version}`;
  const report = new TapReport(title);
  const began = performance.now();
  await using program = start(node?.program ?? process.execPath, ['--enable-source-maps', file], {
    env: { TAP_TIMEOUT: String(timeout) },
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
