import { BATCH_PARTS } from '../thread-tools.js';
import type { Top } from './top.js';

/** Which blocks the parts of a thread's batch bring in: their claims are kept until the part is done, or has failed. */
export class BatchClaims {
  #parts = 0;
  #bringsIn = false;
  readonly #firsts = new Float64Array(BATCH_PARTS);
  /** 0: the part brings in none. */
  readonly #ends = new Float64Array(BATCH_PARTS);

  constructor(private readonly top: Top) {}

  /** The next part brings in the claimed blocks from `first` up to `end`; an end of 0: none. */
  add(first: number, end: number): void {
    this.#firsts[this.#parts] = first;
    this.#ends[this.#parts++] = end;
    this.#bringsIn ||= end !== 0;
  }

  /** The batch has run. Where not all of it went well each part is settled by itself. */
  ran(isWhole: boolean): void {
    const parts = this.#parts;
    this.#parts = 0;
    if (!isWhole || !this.#bringsIn) return;
    for (let index = 0; index < parts; index++) this.settle(index, true);
  }

  /** A part is done, or has failed: its blocks are there, or absent as before. */
  settle(index: number, isDone: boolean): void {
    this.#bringsIn = false;
    const end = this.#ends[index] ?? 0;
    if (end === 0) return;
    const first = this.#firsts[index] ?? 0;
    if (isDone) this.top.cameIn(first, end);
    this.top.claims.give(first, end);
    this.#ends[index] = 0;
  }
}
