/** The two fuzzing runs, with a budget each. */
import { Coverage } from './coverage.js';
import { changeDelta, DeltaFiles } from './delta.js';
import { Fuzzer, type FuzzOptions, type FuzzReport } from './engine.js';
import { seedInputs } from './grammar.js';
import { runInMemory } from './target.js';
import { type Holdings, WireTarget } from './wire.js';

export type RunOptions = Pick<FuzzOptions, 'seed' | 'budget' | 'corpus' | 'onFinding' | 'onProgress'>;

/** Part of the paths of the modules whose coverage counts. */
const SERVER = '/dist/server/';
const DELTA = '/dist/driver/store/delta/';

/** Negotiation and transmission in memory, guided by coverage of the server's code. */
export async function fuzzMemory(options: RunOptions): Promise<FuzzReport> {
  using fuzzer = new Fuzzer({ ...options, target: runInMemory, coverageOf: SERVER });
  return await fuzzer.run();
}

/** Those of the inputs, the shorter ones first, that reach code which neither the written ones nor the others do. */
export async function worthKeeping(inputs: readonly Buffer[]): Promise<Buffer[]> {
  using coverage = new Coverage(SERVER);
  for (const input of seedInputs()) await runInMemory(input);
  coverage.fresh();
  const kept: Buffer[] = [];
  for (const input of [...inputs].sort((a, b) => a.length - b.length)) {
    await runInMemory(input);
    if (coverage.fresh().length > 0) kept.push(input);
  }
  return kept;
}

/** Files that may be deltas, guided by coverage of what looks at them. */
export async function fuzzDelta(options: Omit<RunOptions, 'corpus'>): Promise<FuzzReport> {
  using files = new DeltaFiles();
  using fuzzer = new Fuzzer({
    ...options,
    corpus: [Buffer.alloc(0)],
    change: changeDelta,
    target: (input) => files.run(input),
    coverageOf: DELTA,
  });
  return await fuzzer.run();
}

export interface WireReport extends FuzzReport {
  /** What the daemon held when it had warmed up, and at the end. */
  readonly first: Holdings;
  readonly last: Holdings;
  /** Bytes. */
  readonly mostMemory: number;
}

/** Inputs between two examinations of the daemon. */
const EXAMINE_EVERY = 100;

/** The running daemon, guided by what it answers. */
export async function fuzzWire(options: RunOptions): Promise<WireReport> {
  await using wire = await WireTarget.start();
  for (const input of options.corpus) await named(input, wire.run(input));
  const first = await wire.examine();
  let count = 0;
  const target = async (input: Buffer): Promise<readonly string[]> => {
    const events = await wire.run(input);
    if (++count % EXAMINE_EVERY === 0) await wire.examine();
    return events;
  };
  using fuzzer = new Fuzzer({ ...options, target });
  const report = await fuzzer.run();
  const last = await wire.examine();
  return { ...report, first, last, mostMemory: wire.mostMemory };
}

/** A failure of an input that no search reports. */
async function named(input: Buffer, run: Promise<unknown>): Promise<void> {
  try {
    await run;
  } catch (error) {
    throw new Error(
      `${error instanceof Error ? error.message : error}; the input is ${input.toString('hex')}`,
    );
  }
}
