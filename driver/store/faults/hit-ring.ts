/**
 * Hits on their way from the threads of a device to its control side. Where the control side is slower than they are, the oldest
 * are written over: they are counted, and not told one by one.
 */
import { SharedLock } from '../shared-lock.js';
import type { FaultOperation } from './rule.js';

export const OPERATIONS: readonly FaultOperation[] = ['read', 'write', 'flush', 'trim', 'zero'];

/** A request that was hit. */
export interface Hit {
  /** Serial number of its rule. */
  readonly rule: number;
  readonly operation: FaultOperation;
  /** Bytes of the device; both 0 for a flush. */
  readonly offset: number;
  readonly length: number;
  /** Place in the sequence of requests that its rule saw; the first is 0. */
  readonly index: number;
}

/** Hits that wait to be told, at most. */
export const RING_HITS = 1024;

/** 32-bit words in front of the entries. */
const Word = {
  /** Hits so far; wraps. */
  COUNT: 0,
  /** 1 while the control side has yet to look. */
  IS_TOLD: 1,
  LOCK: 2,
} as const;
const HEAD_BYTES = 64;
/** Numbers of an entry: which hit it is, from 1 on, once the others are written; then the hit. */
const ENTRY = 6;

export const hitMemory = (): SharedArrayBuffer => new SharedArrayBuffer(HEAD_BYTES + RING_HITS * ENTRY * 8);

export class HitRing {
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  /** Under it a device's requests are judged, one after the other on whatever threads they come: that is their order. */
  readonly lock: SharedLock;
  #told = 0;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared, 0, HEAD_BYTES / 4);
    this.#numbers = new Float64Array(shared, HEAD_BYTES);
    this.lock = new SharedLock(this.#words, Word.LOCK);
  }

  /** On any thread. True when the control side has to be told that there is something. */
  add({ rule, operation, offset, length, index }: Hit): boolean {
    const hit = Atomics.add(this.#words, Word.COUNT, 1) >>> 0;
    const at = (hit % RING_HITS) * ENTRY;
    this.#numbers.set([rule, OPERATIONS.indexOf(operation), offset, length, index], at + 1);
    this.#numbers[at] = hit + 1;
    return Atomics.exchange(this.#words, Word.IS_TOLD, 1) === 0;
  }

  /** On the control side: what came since it looked last, and how many were written over by then. */
  take(): { readonly hits: Hit[]; readonly missed: number } {
    Atomics.store(this.#words, Word.IS_TOLD, 0);
    const count = Atomics.load(this.#words, Word.COUNT) >>> 0;
    const there = (count - this.#told) >>> 0;
    const first = there > RING_HITS ? (count - RING_HITS) >>> 0 : this.#told;
    const hits: Hit[] = [];
    let missed = there - ((count - first) >>> 0);
    for (let hit = first; hit !== count; hit = (hit + 1) >>> 0) {
      const at = (hit % RING_HITS) * ENTRY;
      const [sequence, rule = 0, operation = 0, offset = 0, length = 0, index = 0] = this.#numbers.slice(
        at,
        at + ENTRY,
      );
      // It was counted, and is written in this moment: told next time, for which the thread that writes it asks.
      if (sequence === 0 || sequence === ((hit - RING_HITS) >>> 0) + 1) {
        this.#told = hit;
        return { hits, missed };
      }
      const name = OPERATIONS[operation];
      if (sequence !== hit + 1 || name === undefined) missed++;
      else hits.push({ rule, operation: name, offset, length, index });
    }
    this.#told = count;
    return { hits, missed };
  }
}
