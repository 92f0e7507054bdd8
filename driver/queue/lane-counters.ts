import type { Errno } from '../../server/backend.js';
import { LATENCY_BUCKETS, LaneNum, laneNum } from './slots.js';

/** The counters of one device's lane. The thread of the lane is their only writer, so they are plain numbers. */
export class LaneCounters {
  readonly #first: number;

  constructor(
    private readonly nums: Float64Array,
    lane: number,
  ) {
    this.#first = laneNum(lane);
  }

  /** `counter`: one of `LaneNum`. */
  add(counter: number, by: number): void {
    const at = this.#first + counter;
    this.nums[at] = (this.nums[at] ?? 0) + by;
  }

  /* `length`: bytes moved. What is started is counted as if it will succeed. */

  read(length: number): void {
    this.add(LaneNum.READS, 1);
    this.add(LaneNum.READ_BYTES, length);
  }

  write(length: number): void {
    this.add(LaneNum.WRITES, 1);
    this.add(LaneNum.WRITTEN_BYTES, length);
  }

  /** Counts an error, if it is one, and passes it on. */
  failed(errno: Errno): Errno {
    if (errno !== 0) this.add(LaneNum.ERRORS, 1);
    return errno;
  }

  /** So many requests were each this long in the server. */
  observe(requests: number, microseconds: number): void {
    const bucket = Math.min(32 - Math.clz32(microseconds), LATENCY_BUCKETS - 1);
    this.add(LaneNum.LATENCY + bucket, requests);
  }
}
