import { DIRTY_OFFSET, Num } from './slots.js';

/** Bytes that one bit stands for on a device of up to 1 TiB; on a larger one as many more as it takes. */
export const DIRTY_BLOCK = 64 << 10;
/** Bits of a map. It is 2 MiB of shared memory a device, of which only what was ever set takes room. */
export const DIRTY_BITS = 16 << 20;

/**
 * Which blocks of a device were changed since it was bound, or since somebody asked to start anew: what an
 * incremental backup reads through the metadata context `nbdloop:dirty`.
 *
 * Every thread of the data path sets bits while it is counted in; only a frozen device has them cleared. A block
 * is never called unchanged when it may have changed; the reverse is harmless.
 */
export class DirtyMap {
  readonly #words: Int32Array;
  readonly #nums: Float64Array;
  /** Words that may hold bits; known on the control side only. */
  #used = 0;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared, DIRTY_OFFSET, DIRTY_BITS / 32);
    this.#nums = new Float64Array(shared, 0, Num.DIRTY_BLOCK + 1);
  }

  /** Bytes a bit stands for. */
  get blockBytes(): number {
    return this.#nums[Num.DIRTY_BLOCK] || DIRTY_BLOCK;
  }

  /** The range is about to change. Positions and lengths in bytes. */
  mark(offset: number, length: number): void {
    const block = this.blockBytes;
    const last = Math.floor((offset + length - 1) / block);
    for (let bit = Math.floor(offset / block); bit <= last; bit++) {
      const word = bit >>> 5;
      const mask = 1 << (bit & 31);
      if (((this.#words[word] ?? 0) & mask) === 0) Atomics.or(this.#words, word, mask);
    }
  }

  /** The run at `offset`: its length in bytes, at most `length`; positive where it has changed, else negative. */
  run(offset: number, length: number): number {
    const block = this.blockBytes;
    const first = Math.floor(offset / block);
    const end = Math.ceil((offset + length) / block);
    const isDirty = this.#isSet(first);
    const same = isDirty ? -1 : 0;
    let bit = first + 1;
    while (bit < end) {
      if ((bit & 31) === 0 && this.#words[bit >>> 5] === same) bit += 32;
      else if (this.#isSet(bit) === isDirty) bit++;
      else break;
    }
    const bytes = Math.min(bit * block - offset, length);
    return isDirty ? bytes : -bytes;
  }

  /** Nothing has changed, on a device of `size` bytes. The queue is frozen. */
  reset(size: number): void {
    this.#words.fill(0, 0, this.#used);
    this.#nums[Num.DIRTY_BLOCK] = blockFor(size);
    this.#used = this.#wordsOf(size);
  }

  /** Everything may have changed. The queue is frozen. */
  fill(size: number): void {
    this.#nums[Num.DIRTY_BLOCK] = blockFor(size);
    this.#used = Math.max(this.#used, this.#wordsOf(size));
    this.#words.fill(-1, 0, this.#used);
  }

  /** The same device at another size. The queue is frozen. */
  resize(size: number): void {
    // What was told apart cannot be told with coarser blocks.
    if (blockFor(size) > this.blockBytes) this.fill(size);
    else this.#used = Math.max(this.#used, this.#wordsOf(size));
  }

  #isSet(bit: number): boolean {
    return ((this.#words[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0;
  }

  #wordsOf(size: number): number {
    return Math.min(Math.ceil(size / this.blockBytes / 32), this.#words.length);
  }
}

const blockFor = (size: number): number => {
  let block = DIRTY_BLOCK;
  while (size / block > DIRTY_BITS) block *= 2;
  return block;
};
