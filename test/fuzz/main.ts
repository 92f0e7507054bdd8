/**
 * `npm run fuzz -- [--minutes N] [--seed N] [--only memory|wire|mixed|delta] [--keep] [--run FILE]`
 *
 * A quarter of the time goes to negotiation and transmission in memory, guided by coverage, a quarter to changed sessions with the
 * running daemon, a quarter to many outstanding requests with data that is verified, and a quarter to files that may be deltas.
 * A finding's input is written to `fuzz-findings/`, and the exit status is 1. `--keep` writes the inputs
 * that reach rare code to the corpus; `--run` runs one input in memory and on the wire.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { readCorpus, writeCorpus, writeFinding } from './corpus.js';
import type { Finding, FuzzReport } from './engine.js';
import { fuzzMixed, type MixedReport } from './mixed.js';
import { fuzzDelta, fuzzMemory, fuzzWire, type WireReport, worthKeeping } from './runs.js';
import { runInMemory } from './target.js';
import { WireTarget } from './wire.js';

const FINDINGS = 'fuzz-findings';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    only: { type: 'string' },
    keep: { type: 'boolean', default: false },
    run: { type: 'string' },
  },
});

const say = (text: string): void => console.log(text);

const tell = (name: string) => (report: FuzzReport) => {
  const { inputs, corpus, covered, events, findings } = report;
  const reach = covered > 0 ? `${covered} characters of code, ` : '';
  say(
    `${name}: ${inputs} inputs, ${corpus.length} kept, ${reach}${events} events, ${findings.length} findings`,
  );
};

const tellMixed = ({ requests, kinds, findings }: MixedReport): void =>
  say(`mixed: ${requests} requests of ${kinds.size} kinds, ${findings.length} findings`);

function settle(name: string, report: FuzzReport): number {
  tell(`${name}, seed ${report.seed}, ended`)(report);
  return report.findings.length;
}

const onFinding = (finding: Finding): void =>
  say(`${finding.kind}: ${writeFinding(FINDINGS, finding)}: ${finding.message.split('\n')[0]}`);

async function keep(inputs: readonly Buffer[]): Promise<void> {
  const kept = await worthKeeping(inputs);
  writeCorpus(kept);
  say(`${kept.length} inputs are in the corpus`);
}

async function runOne(path: string): Promise<void> {
  const input = readFileSync(path);
  say(`in memory: ${(await runInMemory(input)).join(', ')}`);
  await using wire = await WireTarget.start();
  say(`on the wire: ${(await wire.run(input)).join(', ')}`);
  await wire.examine();
}

async function fuzz(): Promise<number> {
  const seed = Number(values.seed);
  const parts = values.only === undefined ? ['memory', 'wire', 'mixed', 'delta'] : [values.only];
  const budget = (Number(values.minutes) * 60_000) / parts.length;
  const options = { seed, budget, corpus: readCorpus(), onFinding };
  let findings = 0;
  if (parts.includes('memory')) {
    const report = await fuzzMemory({ ...options, onProgress: tell('memory') });
    findings += settle('memory', report);
    if (values.keep) await keep([...options.corpus, ...report.corpus]);
  }
  if (parts.includes('wire')) {
    const report: WireReport = await fuzzWire({ ...options, onProgress: tell('wire') });
    findings += settle('wire', report);
    const { first, last, mostMemory } = report;
    say(`the daemon's descriptors: ${first.descriptors} first, ${last.descriptors} last`);
    say(
      `its memory in MiB: ${[first.memory, last.memory, mostMemory].map((bytes) => bytes >> 20).join(', ')}`,
    );
    say('(first, last, most)');
  }
  if (parts.includes('mixed')) {
    const report = await fuzzMixed({ seed, budget, onProgress: tellMixed });
    for (const finding of report.findings) say(`mixed, seed ${seed}: ${finding}`);
    findings += report.findings.length;
  }
  if (parts.includes('delta')) {
    const report = await fuzzDelta({ seed, budget, onFinding, onProgress: tell('delta') });
    findings += settle('delta', report);
  }
  return findings;
}

if (values.run !== undefined) await runOne(values.run);
else process.exitCode = (await fuzz()) === 0 ? 0 : 1;
