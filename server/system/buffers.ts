import { addressOf } from './sockets.js';

/** Memory at an address the kernel is told. */
export interface Memory {
  readonly bytes: Uint8Array;
  readonly address: number;
}

const PAGE = 4096;
/** See `awayFromPage`. */
const AWAY = 1024;
/** Bytes a thread keeps for operations under way, at most. */
const TOTAL = 32 << 20;

/**
 * Memory that lies 1 KiB behind the beginning of a page. The kernel's side of a copy mostly begins with a page, and
 * copies to and from what is a few bytes off that are slow on some processors (`ReadWay` says why): headers in front of
 * the data would make it so.
 */
export function awayFromPage(length: number): Memory {
  const memory = new ArrayBuffer(length + PAGE);
  const start = addressOf(memory);
  const address = Math.ceil((start - AWAY) / PAGE) * PAGE + AWAY;
  return { bytes: new Uint8Array(memory, address - start, length), address };
}

/** Page-aligned memory for operations, in classes of powers of two from a page on; made when first needed, then reused. */
export class Buffers {
  readonly #idle: Memory[][] = [];
  #made = 0;

  /** `total`: bytes that are made at most. */
  constructor(private readonly total = TOTAL) {}

  /** At least `length` bytes; undefined when the thread's share is used up. */
  take(length: number): Memory | undefined {
    const size = Math.max(PAGE, 2 ** Math.ceil(Math.log2(length)));
    const kept = this.#class(size).pop();
    if (kept !== undefined || this.#made + size > this.total) return kept;
    this.#made += size;
    const memory = new ArrayBuffer(size + PAGE);
    const start = addressOf(memory);
    const address = Math.ceil(start / PAGE) * PAGE;
    return { bytes: new Uint8Array(memory, address - start, size), address };
  }

  give(memory: Memory): void {
    this.#class(memory.bytes.length).push(memory);
  }

  #class(size: number): Memory[] {
    const index = Math.log2(size);
    this.#idle[index] ??= [];
    return this.#idle[index];
  }
}
