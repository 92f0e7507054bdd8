import t from 'tap';
import { seedFrom } from '../helpers/random.js';
import { readCorpus } from './corpus.js';
import type { FuzzReport } from './engine.js';
import { fuzzDelta, fuzzMemory, fuzzWire } from './runs.js';
import { runInMemory } from './target.js';
import { SPARE_DESCRIPTORS } from './wire.js';

t.setTimeout(240_000);

const seed = seedFrom('FUZZ_SEED');
const MIB = 1 << 20;

/** What a failure needs to be run again: `npm run fuzz -- --run FILE` takes the bytes of `input`. */
const findingsOf = ({ findings }: FuzzReport) =>
  findings.map(({ kind, message, input }) => ({ kind, message, input: input.toString('hex'), seed }));

t.test('every input of the corpus is answered as the protocol wants it', async (t) => {
  const corpus = readCorpus();
  for (const [index, input] of corpus.entries()) {
    await t.resolves(runInMemory(input), `input ${index} of ${corpus.length}`);
  }
});

t.test(
  '25 s of changed inputs in memory, guided by coverage: no crash, no hang, no wrong answer',
  async (t) => {
    const report = await fuzzMemory({ seed, budget: 25_000, corpus: readCorpus() });
    t.strictSame(findingsOf(report), []);
    t.ok(report.inputs > 50, 'it ran', { inputs: report.inputs });
  },
);

t.test('15 s of changed sessions against the daemon: no crash, no hang, nothing left behind', async (t) => {
  const report = await fuzzWire({ seed, budget: 15_000, corpus: readCorpus() });
  t.strictSame(findingsOf(report), []);
  t.ok(report.inputs > 10, 'it ran', { inputs: report.inputs });
  t.ok(report.last.descriptors <= report.first.descriptors + SPARE_DESCRIPTORS, 'descriptors');
  t.ok(report.mostMemory < report.first.memory + 256 * MIB, 'memory');
});

t.test('6 s of changed deltas: no crash, no hang, and what is called sound can be used', async (t) => {
  const report = await fuzzDelta({ seed, budget: 6000 });
  t.strictSame(findingsOf(report), []);
  t.ok(report.inputs > 20, 'it ran', { inputs: report.inputs });
});
