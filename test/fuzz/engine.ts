/** The search: inputs that reach new code, or make something new happen, are kept and changed further. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Coverage } from './coverage.js';
import { mutate } from './mutate.js';
import { Random } from './random.js';

/** Runs one input; returns what happened in words, throws when something is wrong. */
export type Target = (input: Buffer) => Promise<readonly string[]>;

export interface Finding {
  readonly kind: 'crash' | 'hang';
  readonly input: Buffer;
  readonly message: string;
}

export interface FuzzReport {
  readonly seed: number;
  readonly inputs: number;
  /** Kept because they were new. */
  readonly corpus: readonly Buffer[];
  /** Characters of code that ran, where coverage was looked at. */
  readonly covered: number;
  /** Different things that happened, in words. */
  readonly events: number;
  readonly findings: readonly Finding[];
}

export interface FuzzOptions {
  readonly target: Target;
  readonly corpus: readonly Buffer[];
  readonly seed: number;
  /** Milliseconds; inputs of the corpus are run in any case. */
  readonly budget: number;
  /** Changes an input of the corpus; sessions of the protocol are changed unless told otherwise. */
  readonly change?: (random: Random, corpus: readonly Buffer[]) => Buffer;
  /** Part of the path of modules whose code counts; none where the code runs in another process. */
  readonly coverageOf?: string;
  /** Findings after which the search ends. */
  readonly mostFindings?: number;
  /** Called at once, for the process may not live to tell it later. */
  readonly onFinding?: (finding: Finding) => void;
  /** Called now and then. */
  readonly onProgress?: (report: FuzzReport) => void;
}

/** An input that takes longer than this is a hang, milliseconds. */
const HANG = 20_000;
/** Inputs between two looks at coverage; when it grew, they are run again one by one to see which of them did it. */
const BATCH = 24;
/** The search ends with as many findings, unless told otherwise: they are likely to be one. */
const MOST_FINDINGS = 20;
const PROGRESS_EVERY = 10_000;

export class Fuzzer implements Disposable {
  readonly #options: FuzzOptions;
  readonly #random: Random;
  readonly #coverage: Coverage | undefined;
  readonly #corpus: Buffer[] = [];
  readonly #events = new Set<string>();
  readonly #findings: Finding[] = [];
  #inputs = 0;

  constructor(options: FuzzOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#coverage = options.coverageOf === undefined ? undefined : new Coverage(options.coverageOf);
  }

  async run(): Promise<FuzzReport> {
    const { corpus, budget, onProgress, mostFindings = MOST_FINDINGS } = this.#options;
    const end = performance.now() + budget;
    let progress = performance.now() + PROGRESS_EVERY;
    for (const input of corpus) await this.#runAlone(input);
    while (performance.now() < end && this.#findings.length < mostFindings) {
      await this.#runBatch();
      if (performance.now() < progress) continue;
      onProgress?.(this.report);
      progress = performance.now() + PROGRESS_EVERY;
    }
    return this.report;
  }

  get report(): FuzzReport {
    return {
      seed: this.#options.seed,
      inputs: this.#inputs,
      corpus: this.#corpus,
      covered: this.#coverage?.characters ?? 0,
      events: this.#events.size,
      findings: this.#findings,
    };
  }

  async #runBatch(): Promise<void> {
    const { change = mutate } = this.#options;
    const before = this.#corpus.length === 0 ? this.#options.corpus : this.#corpus;
    const inputs = Array.from({ length: BATCH }, () => change(this.#random, before));
    const plain: Buffer[] = [];
    for (const input of inputs) {
      if (await this.#hasNewEvent(input)) this.#corpus.push(input);
      else plain.push(input);
    }
    const fresh = new Set(this.#coverage?.fresh());
    for (const input of plain) {
      if (fresh.size === 0) return;
      await this.#try(input);
      const reached = this.#coverage?.reached(fresh) ?? [];
      if (reached.length > 0) this.#corpus.push(input);
      for (const place of reached) fresh.delete(place);
    }
  }

  /** Of the corpus given: kept when it adds something. */
  async #runAlone(input: Buffer): Promise<void> {
    const hasNewEvent = await this.#hasNewEvent(input);
    const fresh = this.#coverage?.fresh() ?? [];
    if (hasNewEvent || fresh.length > 0) this.#corpus.push(input);
  }

  async #hasNewEvent(input: Buffer): Promise<boolean> {
    const before = this.#events.size;
    for (const event of await this.#try(input)) this.#events.add(event);
    return this.#events.size > before;
  }

  async #try(input: Buffer): Promise<readonly string[]> {
    this.#inputs++;
    const limit = new AbortController();
    const late = sleep(HANG, 'late' as const, { signal: limit.signal, ref: true }).catch(
      () => 'late' as const,
    );
    try {
      const events = await Promise.race([this.#options.target(input), late]);
      if (events !== 'late') return events;
      this.#found({ kind: 'hang', input, message: `it took more than ${HANG} ms` });
    } catch (error) {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#found({ kind: 'crash', input, message });
    } finally {
      limit.abort();
    }
    return [];
  }

  #found(finding: Finding): void {
    this.#findings.push(finding);
    this.#options.onFinding?.(finding);
  }

  [Symbol.dispose](): void {
    this.#coverage?.[Symbol.dispose]();
  }
}
