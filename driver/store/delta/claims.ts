import { maskOf } from './blocks.js';

/** Between two looks at blocks that another thread has, milliseconds. */
const LOOK_MS = 0.1;
const nothing = new Int32Array(new SharedArrayBuffer(4));

/**
 * Which blocks of a delta a thread brings in at this moment: a bit a block, over all threads. Who wants a block that
 * another has waits until its bit is free and then looks again whether there is still something to do.
 *
 * Blocks are taken in ascending order, so that no two threads wait for each other; who has some and wants others tries.
 */
export class Claims {
  readonly #words: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared);
  }

  /** Takes blocks `first` to `end` - 1, each as soon as it is free. Caller has none. */
  take(first: number, end: number): void {
    for (let word = first >>> 5; word * 32 < end; word++) {
      const mask = maskOf(word, first, end);
      while (!this.#tryWord(word, mask)) Atomics.wait(nothing, 0, 0, LOOK_MS);
    }
  }

  /** Takes all of them or none. */
  tryTake(first: number, end: number): boolean {
    for (let word = first >>> 5; word * 32 < end; word++) {
      if (this.#tryWord(word, maskOf(word, first, end))) continue;
      if (word * 32 > first) this.give(first, word * 32);
      return false;
    }
    return true;
  }

  give(first: number, end: number): void {
    for (let word = first >>> 5; word * 32 < end; word++) {
      Atomics.and(this.#words, word, ~maskOf(word, first, end));
    }
  }

  #tryWord(word: number, mask: number): boolean {
    const before = Atomics.or(this.#words, word, mask);
    if ((before & mask) === 0) return true;
    const ours = mask & ~before;
    if (ours !== 0) Atomics.and(this.#words, word, ~ours);
    return false;
  }
}
