/** Reads the TAP document of a test file: counts its assertions, and says what failed and what was skipped. */
import { inspect, isDeepStrictEqual } from 'node:util';
import { type FinalResults, Parser, type Result } from 'tap-parser';

export interface Counts {
  passed: number;
  failed: number;
  /** Skipped and to-do assertions. */
  skipped: number;
}

/** The sum of several. */
export function total(all: readonly Counts[]): Counts {
  const sum = (key: keyof Counts): number => all.reduce((before, counts) => before + counts[key], 0);
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
}

/**
 * The exit status of a run: 0 when something passed and nothing failed. `requireAll`: nor may anything be skipped.
 */
export function exitStatus({ passed, failed, skipped }: Counts, requireAll: boolean): 0 | 1 {
  return passed === 0 || failed > 0 || (requireAll && skipped > 0) ? 1 : 0;
}

/**
 * Counts the innermost results. A subtest's own line repeats what it holds, so it counts only when it fails
 * although nothing in it did (a wrong plan, a crash, a timeout), when it was skipped as a whole, or when it passed
 * without a result of its own (it would have thrown).
 */
export class TapReport {
  readonly counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  /** What a person wants to read. */
  readonly lines: string[] = [];
  readonly #root = new Parser();

  constructor(private readonly file: string) {
    this.#watch(this.#root);
    this.#root.on('complete', (results: FinalResults) => this.#complete(results));
  }

  write(text: string): void {
    this.#root.write(text);
  }

  end(): void {
    this.#root.end();
  }

  /** Counts a failure that the document does not show. */
  fail(why: string): void {
    this.counts.failed += 1;
    this.lines.push(`  FAILED: ${this.file}: ${why}`);
  }

  #watch(parser: Parser): void {
    let before: Counts | undefined;
    parser.on('child', (child: Parser) => {
      before = { ...this.counts };
      this.#watch(child);
    });
    parser.on('assert', (result: Result) => {
      if (before === undefined) this.#leaf(result);
      else this.#subtest(result, before);
      before = undefined;
    });
  }

  /** A document that ends early, or has more or fewer results than it announced, fails as a whole. */
  #complete({ ok, failures, bailout, plan }: FinalResults): void {
    if (plan.skipAll) {
      this.counts.skipped += 1;
      this.lines.push(`  skipped: ${this.file} # ${plan.skipReason || 'no tests'}`);
    }
    if ((ok && bailout === false) || this.counts.failed > 0) return;
    this.fail(
      bailout === false
        ? failures.map(({ tapError }) => tapError ?? 'cut short').join(', ')
        : `bailed out: ${bailout}`,
    );
  }

  #leaf(result: Result): void {
    if (result.skip || result.todo) {
      this.counts.skipped += 1;
      this.lines.push(`  skipped: ${this.#titled(result)} # ${result.skip || result.todo}`);
    } else if (result.ok) this.counts.passed += 1;
    else this.#failure(result);
  }

  #subtest(result: Result, before: Counts): void {
    if (result.skip || result.todo) this.#leaf(result);
    else if (!result.ok && this.counts.failed === before.failed) this.#failure(result);
    else if (result.ok && isDeepStrictEqual(this.counts, before)) this.counts.passed += 1;
  }

  #failure(result: Result): void {
    this.counts.failed += 1;
    this.lines.push(`  FAILED: ${this.#titled(result)}`);
    for (const [key, value] of Object.entries(result.diag ?? {})) {
      const text = typeof value === 'string' ? value : inspect(value, { depth: 6 });
      this.lines.push(`    ${key}: ${text.trimEnd().replaceAll('\n', '\n      ')}`);
    }
  }

  readonly #titled = ({ fullname }: Result): string => `${this.file}: ${fullname}`;
}
