/** READs of which the page cache is asked before it is judged. */
const ASKED = 16;
/** READs that are started at once where it had less than half of those. */
const STARTED = 1024;

/**
 * Whether small READs of a connection are started at once. One is asked of the page cache first, as a rule, for what
 * is there is answered within the turn. What is not there has been looked for twice then.
 */
export class Misses {
  #asked = 0;
  #missed = 0;
  /** READs that are yet to be started at once. */
  #left = 0;

  /** So many READs were asked of the page cache, which had not all of them. */
  count(asked: number, missed: number): void {
    this.#asked += asked;
    this.#missed += missed;
    if (this.#asked < ASKED) return;
    if (this.#missed * 2 > this.#asked) this.#left = STARTED;
    this.#asked = this.#missed = 0;
  }

  /** A READ comes. True when it had better be started at once. */
  expectNext(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
}
