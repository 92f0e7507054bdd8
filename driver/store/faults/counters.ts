/** What the threads of a device share of one rule. */

/** 64-bit words. */
const Word = {
  /** Requests that the rule looked at. */
  SEEN: 0,
  /** Requests that it hit. */
  HITS: 1,
  /** How often what it holds was released. */
  RELEASES: 2,
  /** Requests that it holds now. */
  HELD: 3,
} as const;
const BYTES = 32;

export const ruleMemory = (): SharedArrayBuffer => new SharedArrayBuffer(BYTES);

export class RuleCounters {
  readonly #words: BigInt64Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new BigInt64Array(shared);
  }

  /** Takes the next place in the sequence of requests; the first is 0. */
  see(): number {
    return Number(Atomics.add(this.#words, Word.SEEN, 1n));
  }

  /** Counts a hit, unless there were `most` already. */
  hit(most: number): boolean {
    if (Atomics.add(this.#words, Word.HITS, 1n) < BigInt(most)) return true;
    Atomics.sub(this.#words, Word.HITS, 1n);
    return false;
  }

  release(): void {
    Atomics.add(this.#words, Word.RELEASES, 1n);
  }

  hold(by: 1 | -1): void {
    Atomics.add(this.#words, Word.HELD, BigInt(by));
  }

  get releases(): number {
    return this.#load(Word.RELEASES);
  }

  get seen(): number {
    return this.#load(Word.SEEN);
  }

  get hits(): number {
    return this.#load(Word.HITS);
  }

  get held(): number {
    return this.#load(Word.HELD);
  }

  #load(word: number): number {
    return Number(Atomics.load(this.#words, word));
  }
}
