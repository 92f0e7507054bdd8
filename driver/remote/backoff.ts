/** How long to wait before the next attempt. */

/** After the first failure, milliseconds; then twice as long each time. */
const FIRST_MS = 100;
/** What is waited for is noticed within this, milliseconds. */
const LONGEST_MS = 4000;

export class Backoff {
  #failures = 0;

  /** `random`: 0 up to 1. */
  constructor(private readonly random: () => number = Math.random) {}

  /** Milliseconds, half of which is chance: clients of a server that is back do not all come at once. */
  next(): number {
    const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#failures++, 20));
    return most / 2 + (most / 2) * this.random();
  }

  reset(): void {
    this.#failures = 0;
  }
}
