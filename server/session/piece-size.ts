/** Bytes of the smallest and the largest piece. */
const LEAST_PIECE = 64 << 10;
const MOST_PIECE = 32 << 20;
const FIRST_PIECE = 1 << 20;
/** A piece that took less had better been larger, and one that took more smaller, milliseconds. */
const QUICK_MS = 0.5;
const SLOW_MS = 2;
/** Times so much longer is not longer yet. */
const SAME = 1.5;

/**
 * How much of a long range had better be changed at a time, by what it took before: about a millisecond. What takes long by
 * its length is done in smaller pieces; what takes long whatever its length, as a server's answer does, in larger ones.
 * Which of both it is, a piece of another length tells.
 */
export class PieceSize {
  /** Of the next piece. */
  bytes = FIRST_PIECE;
  #lastBytes = FIRST_PIECE;
  #lastMs = 0;
  /** Larger ones take longer; undefined where that is not known. */
  #isByLength: boolean | undefined;

  took(bytes: number, milliseconds: number): void {
    // The rest of a range says little.
    if (bytes < this.bytes) return;
    const [lastBytes, lastMs] = [this.#lastBytes, this.#lastMs];
    this.#lastBytes = bytes;
    this.#lastMs = milliseconds;
    let next = bytes;
    if (milliseconds < QUICK_MS) {
      next = 2 * bytes;
      this.#isByLength = undefined;
    } else if (milliseconds > SLOW_MS) {
      const ratio = bytes > lastBytes ? milliseconds / lastMs : lastMs / milliseconds;
      if (bytes !== lastBytes) this.#isByLength = ratio > SAME;
      // Not known yet: a smaller one is tried, or the smallest doubled.
      const isTooLarge = this.#isByLength ?? bytes > LEAST_PIECE;
      next = isTooLarge ? bytes / 2 : 2 * bytes;
    }
    this.bytes = Math.min(Math.max(next, LEAST_PIECE), MOST_PIECE);
  }
}
