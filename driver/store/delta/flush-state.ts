/**
 * How far the bitmap of a delta is on disk, over all threads: without a lock, since any number of them may flush at once.
 *
 * A page of the bitmap has two counts: of the times that bits of it were set, and of how many of these are on disk. The
 * same two are kept for all pages together. They wrap around, and are compared as differences.
 *
 * A bit can be seen before it is counted: another thread writes to its block, and is to flush that. So there is a third
 * count, of the threads that are just setting bits; while it is not 0, bits themselves tell.
 */
import { BITMAP_PAGE } from './header.js';

const ALL_SET = 0;
const ALL_DURABLE = 1;
const SETTING = 2;
const FIRST_PAGE = 3;

/** Shared memory for a bitmap of so many bytes. `isUnknown`: none of its pages is taken to be on disk as it is. */
export function makeFlushState(
  bitmapBytes: number,
  { isUnknown }: { readonly isUnknown: boolean },
): SharedArrayBuffer {
  const pages = bitmapBytes / BITMAP_PAGE;
  const shared = new SharedArrayBuffer((FIRST_PAGE + 2 * pages) * 4);
  if (!isUnknown) return shared;
  const words = new Int32Array(shared);
  words[ALL_SET] = 1;
  for (let page = 0; page < pages; page++) words[FIRST_PAGE + 2 * page] = 1;
  return shared;
}

export class FlushState {
  readonly pages: number;
  readonly #words: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared);
    this.pages = (this.#words.length - FIRST_PAGE) / 2;
  }

  /** Bits are about to be set; `noteSet` follows. */
  beginSetting(): void {
    Atomics.add(this.#words, SETTING, 1);
  }

  /** Bits of these pages were set. */
  noteSet(firstPage: number, lastPage: number): void {
    for (let page = firstPage; page <= lastPage; page++) this.notePageSet(page);
    Atomics.add(this.#words, ALL_SET, 1);
    Atomics.sub(this.#words, SETTING, 1);
  }

  notePageSet(page: number): void {
    Atomics.add(this.#words, FIRST_PAGE + 2 * page, 1);
  }

  /** There may be bits that are not counted; read before the counts. */
  get isSetting(): boolean {
    return Atomics.load(this.#words, SETTING) !== 0;
  }

  /** Of all pages; read before their own counts. */
  get allSet(): number {
    return Atomics.load(this.#words, ALL_SET);
  }

  /** True when there is nothing of the bitmap to be written. */
  get isDurable(): boolean {
    return !this.isSetting && this.allSet === Atomics.load(this.#words, ALL_DURABLE);
  }

  set(page: number): number {
    return Atomics.load(this.#words, FIRST_PAGE + 2 * page);
  }

  isPageDurable(page: number): boolean {
    return this.set(page) === Atomics.load(this.#words, FIRST_PAGE + 2 * page + 1);
  }

  /** What was counted by then is on disk. */
  notePageDurable(page: number, count: number): void {
    this.#raise(FIRST_PAGE + 2 * page + 1, count);
  }

  noteDurable(allSet: number): void {
    this.#raise(ALL_DURABLE, allSet);
  }

  #raise(index: number, count: number): void {
    for (;;) {
      const present = Atomics.load(this.#words, index);
      if (((count - present) | 0) <= 0) return;
      if (Atomics.compareExchange(this.#words, index, present, count) === present) return;
    }
  }
}
