/** How many of the latest freezes are remembered. */
const REMEMBERED = 4096;

/** What the latest freezes took, milliseconds from the gate's shutting to the thaw: the longest a request waited. */
export interface FreezeSummary {
  /** All freezes since the device was added. */
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Remembers how long freezes took. */
export class FreezeTimes {
  readonly #latest = new Float64Array(REMEMBERED);
  #count = 0;

  record(milliseconds: number): void {
    this.#latest[this.#count++ % REMEMBERED] = milliseconds;
  }

  /** Zeroes when there was no freeze. */
  summary(): FreezeSummary {
    const sorted = this.#latest.slice(0, Math.min(this.#count, REMEMBERED)).sort();
    const at = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
    return { count: this.#count, p50: at(0.5), p99: at(0.99), max: at(1) };
  }
}
