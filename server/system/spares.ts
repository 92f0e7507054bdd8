import { awayFromPage, type Memory } from './buffers.js';

/** Kept at most; many slow peers at once leave more, which the collector takes. */
const MOST_IDLE = 8;

/**
 * Memory for what the connections of a thread keep between two turns, used again and again: where requests make no
 * garbage, what is left to the collector stays for minutes. Of one size, since what is not touched takes none.
 */
export class Spares {
  readonly #idle: Memory[] = [];

  /** `bytes`: what mostly suffices. */
  constructor(private readonly bytes: number) {}

  /** At least `length` bytes. */
  take(length: number): Memory {
    if (length > this.bytes) return awayFromPage(length);
    return this.#idle.pop() ?? awayFromPage(this.bytes);
  }

  give(memory: Memory): void {
    if (memory.bytes.length === this.bytes && this.#idle.length < MOST_IDLE) this.#idle.push(memory);
  }
}
