import type { LaneCounters } from './lane-counters.js';
import { LaneNum } from './slots.js';

/** What the parts of a batch count for: together when all of them succeed, one by one otherwise. */
export class BatchCounts {
  /** Bytes of each part of the batch that was added last; negative: it is a WRITE. */
  readonly #parts: number[] = [];
  #count = 0;
  #reads = 0;
  #readBytes = 0;
  #writtenBytes = 0;

  addRead(length: number): void {
    this.#parts[this.#count++] = length;
    this.#reads++;
    this.#readBytes += length;
  }

  addWrite(length: number): void {
    this.#parts[this.#count++] = -length;
    this.#writtenBytes += length;
  }

  /** All of it succeeded: counts it. */
  succeeded(counters: LaneCounters): void {
    counters.add(LaneNum.READS, this.#reads);
    counters.add(LaneNum.READ_BYTES, this.#readBytes);
    counters.add(LaneNum.WRITES, this.#count - this.#reads);
    counters.add(LaneNum.WRITTEN_BYTES, this.#writtenBytes);
  }

  /** The batch was carried out; its parts can be asked for until another one begins. */
  clear(): void {
    this.#count = this.#reads = this.#readBytes = this.#writtenBytes = 0;
  }

  /** Bytes of a part of the last batch, negative for a WRITE. */
  part(index: number): number {
    return this.#parts[index] ?? 0;
  }
}
