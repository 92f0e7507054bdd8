import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface ScriptCoverage {
  readonly url: string;
  /** An outer function stands before the ones in it, as an outer range before those in it. */
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

/**
 * Which code has run: V8's own block coverage, through Node's inspector. A block has no lasting name there (blocks
 * of one count are merged), so code is counted by the character.
 */
export class Coverage implements Disposable {
  readonly #session = new Session();
  /** By module: 1 for each character that ran. */
  readonly #seen = new Map<string, Uint8Array>();

  /** `part`: of the paths of the modules that are looked at. */
  constructor(private readonly part: string) {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Characters of code that ran so far. */
  get characters(): number {
    let sum = 0;
    for (const ran of this.#seen.values()) for (const one of ran) sum += one;
    return sum;
  }

  /** Places that ran since the last call and never before, one for each stretch of code. Takes milliseconds. */
  fresh(): string[] {
    const places: string[] = [];
    for (const [url, ran] of this.#take()) {
      const seen = this.#seenOf(url, ran.length);
      let isWithin = false;
      for (let at = 0; at < ran.length; at++) {
        const isFresh = ran[at] === 1 && seen[at] !== 1;
        if (isFresh && !isWithin) places.push(`${url}:${at}`);
        if (isFresh) seen[at] = 1;
        isWithin = isFresh;
      }
    }
    return places;
  }

  /** A function that was collected is not listed any more, so the length of a module is not the same every time. */
  #seenOf(url: string, length: number): Uint8Array {
    const before = this.#seen.get(url) ?? new Uint8Array(0);
    if (before.length >= length) return before;
    const seen = new Uint8Array(length);
    seen.set(before);
    this.#seen.set(url, seen);
    return seen;
  }

  /** Which of these places ran since the last call. */
  reached(places: ReadonlySet<string>): string[] {
    const modules = this.#take();
    return [...places].filter((place) => {
      const colon = place.lastIndexOf(':');
      return modules.get(place.slice(0, colon))?.[Number(place.slice(colon + 1))] === 1;
    });
  }

  /** The call is synchronous, as everything within one process is. */
  #take(): Map<string, Uint8Array> {
    const modules = new Map<string, Uint8Array>();
    this.#session.post('Profiler.takePreciseCoverage', (error: Error | null, taken: object) => {
      if (error) throw error;
      for (const { url, functions } of (taken as { result: ScriptCoverage[] }).result) {
        const length = functions[0]?.ranges[0]?.endOffset ?? 0;
        if (url.includes(this.part)) modules.set(url, charactersOf(functions, length));
      }
    });
    return modules;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}

function charactersOf(functions: ScriptCoverage['functions'], length: number): Uint8Array {
  const most = functions.reduce((end, { ranges }) => Math.max(end, ranges[0]?.endOffset ?? 0), length);
  const ran = new Uint8Array(most);
  for (const { ranges } of functions) {
    for (const { startOffset, endOffset, count } of ranges)
      ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  }
  return ran;
}
