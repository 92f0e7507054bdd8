/** The delta that is written, for one thread: which blocks it holds, how they come in, and how they become durable. */
import type { Errno } from '../../../server/backend.js';
import * as file from '../../io/file-calls.js';
import { wordsOf } from '../../io/mapped.js';
import { flushFile, writeFully } from '../../io/transfer.js';
import type { TopLayer } from '../description.js';
import { isSet, maskOf, runFrom } from './blocks.js';
import { Claims } from './claims.js';
import { FlushState } from './flush-state.js';
import { BITMAP_OFFSET, BITMAP_PAGE, PAGE_BLOCKS } from './header.js';

const PAGE_WORDS = BITMAP_PAGE / 4;

export class Top {
  readonly claims: Claims;
  readonly #fd: number;
  readonly #present: Int32Array;
  readonly #durable: Int32Array;
  readonly #durableAddress: number;
  readonly #flushState: FlushState;

  constructor({ fd, present, durable, claims, flushState }: TopLayer) {
    this.#fd = fd;
    this.#present = wordsOf(present);
    this.#durable = wordsOf(durable);
    this.#durableAddress = durable.address;
    this.claims = new Claims(claims);
    this.#flushState = new FlushState(flushState);
  }

  holds(block: number): boolean {
    return isSet(this.#present, block);
  }

  /** How many blocks from `first` on are held, or not held, as it is; up to `end`. */
  run(first: number, end: number): number {
    return runFrom(this.#present, first, end);
  }

  holdsAll(first: number, end: number): boolean {
    return this.holds(first) && (end === first + 1 || this.run(first, end) === end - first);
  }

  /** Blocks that the caller claimed are written. */
  cameIn(first: number, end: number): void {
    this.#flushState.beginSetting();
    for (let word = first >>> 5; word * 32 < end; word++) {
      Atomics.or(this.#present, word, maskOf(word, first, end));
    }
    this.#flushState.noteSet(Math.floor(first / PAGE_BLOCKS), Math.floor((end - 1) / PAGE_BLOCKS));
  }

  /** One fdatasync makes everything durable that was written. */
  get isDurable(): boolean {
    return this.#flushState.isDurable;
  }

  /**
   * Makes durable what was written before, and then the bits of the blocks that came in. Several threads may be here at
   * once: each writes pages of `durable` straight from memory, to which bits are only added, so that the later of two writes
   * lacks nothing of the earlier.
   */
  flush(): Errno {
    const state = this.#flushState;
    if (state.isDurable) return flushFile(this.#fd);
    const { isSetting, allSet } = state;
    const pages: { readonly page: number; readonly count: number; readonly bits: Int32Array }[] = [];
    for (let page = 0; page < state.pages; page++) {
      // Before its counts are looked at: another flush may be about to write these very bits.
      if (isSetting && this.#hasMore(page)) state.notePageSet(page);
      if (state.isPageDurable(page)) continue;
      const count = state.set(page);
      pages.push({ page, count, bits: this.#present.slice(page * PAGE_WORDS, (page + 1) * PAGE_WORDS) });
    }
    const errno = flushFile(this.#fd) || this.#writePages(pages) || flushFile(this.#fd);
    if (errno !== 0) return errno;
    for (const { page, count } of pages) state.notePageDurable(page, count);
    state.noteDurable(allSet);
    return 0;
  }

  /** There are bits that nobody is about to write to the disk. */
  #hasMore(page: number): boolean {
    for (let word = page * PAGE_WORDS; word < (page + 1) * PAGE_WORDS; word++) {
      if ((Atomics.load(this.#present, word) & ~Atomics.load(this.#durable, word)) !== 0) return true;
    }
    return false;
  }

  #writePages(pages: readonly { readonly page: number; readonly bits: Int32Array }[]): Errno {
    for (const { page, bits } of pages) {
      const start = page * PAGE_WORDS;
      bits.forEach((word, index) => {
        if ((word & ~(this.#durable[start + index] ?? 0)) !== 0)
          Atomics.or(this.#durable, start + index, word);
      });
      const at = page * BITMAP_PAGE;
      const errno = writeFully(this.#fd, this.#durableAddress + at, BITMAP_PAGE, BITMAP_OFFSET + at);
      if (errno !== 0) return errno;
    }
    return 0;
  }
}

/** Copies between two places of memory. */
export const copyBytes = (to: number, from: number, length: number): void => file.memcpy(to, from, length);
