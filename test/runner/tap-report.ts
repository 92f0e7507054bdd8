/** Reads a TAP stream: counts its assertions, and says what failed, what was skipped and how each file did. */
import { inspect, isDeepStrictEqual } from 'node:util';
import { Parser, type Result } from 'tap-parser';

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
  readonly #root = new Parser();

  /** `say` gets the lines a person wants to read. */
  constructor(private readonly say: (line: string) => void) {
    this.#watch(this.#root, 0);
  }

  write(text: string): void {
    this.#root.write(text);
  }

  end(): void {
    this.#root.end();
  }

  #watch(parser: Parser, depth: number): void {
    let before: Counts | undefined;
    parser.on('child', (child: Parser) => {
      before = { ...this.counts };
      this.#watch(child, depth + 1);
    });
    parser.on('assert', (result: Result) => {
      if (before === undefined) this.#leaf(result);
      else this.#subtest(result, before);
      if (depth === 0) this.#file(result, before ?? this.counts);
      before = undefined;
    });
  }

  #leaf(result: Result): void {
    if (result.skip || result.todo) {
      this.counts.skipped += 1;
      this.say(`  skipped: ${result.fullname} # ${result.skip || result.todo}`);
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
    this.say(`  FAILED: ${result.fullname}`);
    for (const [key, value] of Object.entries(result.diag ?? {})) {
      const text = typeof value === 'string' ? value : inspect(value, { depth: 6 });
      this.say(`    ${key}: ${text.trimEnd().replaceAll('\n', '\n      ')}`);
    }
  }

  #file(result: Result, before: Counts): void {
    const passed = this.counts.passed - before.passed;
    const time = result.time === null ? '' : `, ${(result.time / 1000).toFixed(1)} s`;
    this.say(`${result.ok ? 'ok' : 'not ok'} ${result.name} (${passed} passed${time})`);
  }
}
