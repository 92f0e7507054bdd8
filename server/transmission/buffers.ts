import { addressOf } from './sockets.js';

/** Page-aligned memory of a power of two bytes. */
export interface Memory {
  readonly bytes: Uint8Array;
  readonly address: number;
}

const PAGE = 4096;
/** Bytes a thread keeps for operations under way, at most. */
const TOTAL = 32 << 20;

/** Memory for operations, in classes of powers of two from a page on; made when first needed, then reused. */
export class Buffers {
  readonly #idle: Memory[][] = [];
  #made = 0;

  /** At least `length` bytes; undefined when the thread's share is used up. */
  take(length: number): Memory | undefined {
    const size = Math.max(PAGE, 2 ** Math.ceil(Math.log2(length)));
    const kept = this.#class(size).pop();
    if (kept !== undefined || this.#made + size > TOTAL) return kept;
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
