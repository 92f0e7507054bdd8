/** What a device did over time, in rings of a fixed size: memory is taken when it first does something. */

import { LATENCY_BUCKETS, LaneNum, laneNum, MAX_LANES } from '../queue/slots.js';
import type { DeviceHistory, Rates } from './live-messages.js';

/** Counters of a device, summed over its threads, by `LaneNum`. */
const COUNTERS = LaneNum.LATENCY + LATENCY_BUCKETS;

export function sumCounters(numbers: Float64Array, into: Float64Array): void {
  into.fill(0);
  for (let lane = 0; lane < MAX_LANES; lane++) {
    const first = laneNum(lane);
    for (let at = 0; at < COUNTERS; at++) into[at] = (into[at] ?? 0) + (numbers[first + at] ?? 0);
  }
}

export const newCounters = (): Float64Array => new Float64Array(COUNTERS);

/** Requests that were answered, whatever they were. */
export function answered(counters: Float64Array): number {
  let sum = 0;
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) sum += counters[LaneNum.LATENCY + bucket] ?? 0;
  return sum;
}

/** Index of the histogram's bucket that holds this share of the requests; -1: there were none. */
export function bucketOf(counters: Float64Array, share: number): number {
  const wanted = answered(counters) * share;
  if (wanted === 0) return -1;
  let seen = 0;
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
    seen += counters[LaneNum.LATENCY + bucket] ?? 0;
    if (seen >= wanted) return bucket;
  }
  return LATENCY_BUCKETS - 1;
}

export function ratesOf(difference: Float64Array, seconds: number): Rates {
  const a = (counter: number): number => (difference[counter] ?? 0) / seconds;
  const quantile = (share: number): number => {
    const bucket = bucketOf(difference, share);
    return bucket < 0 ? 0 : 2 ** bucket;
  };
  return {
    reads: a(LaneNum.READS),
    writes: a(LaneNum.WRITES) + a(LaneNum.TRIMS) + a(LaneNum.WRITE_ZEROES),
    readBytes: a(LaneNum.READ_BYTES),
    writtenBytes: a(LaneNum.WRITTEN_BYTES),
    errors: a(LaneNum.ERRORS),
    p50: quantile(0.5),
    p99: quantile(0.99),
  };
}

const FIELDS = ['reads', 'writes', 'readBytes', 'writtenBytes', 'errors', 'p50', 'p99'] as const;

/** `length` periods, the oldest overwritten by the newest. Every period must be put, in order. */
export class Ring {
  #values: Float32Array | undefined;
  #heat: Uint8Array | undefined;

  constructor(private readonly length: number) {}

  /** `period` counts from 0 on. Null: nothing was done. */
  put(period: number, rates: Rates | null, difference: Float64Array): void {
    if (rates === null && this.#values === undefined) return;
    this.#values ??= new Float32Array(this.length * FIELDS.length);
    this.#heat ??= new Uint8Array(this.length * LATENCY_BUCKETS);
    const at = period % this.length;
    FIELDS.forEach((field, index) => {
      if (this.#values !== undefined) this.#values[at * FIELDS.length + index] = rates?.[field] ?? 0;
    });
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      this.#heat[at * LATENCY_BUCKETS + bucket] = heatOf(difference[LaneNum.LATENCY + bucket] ?? 0);
    }
  }

  get isEmpty(): boolean {
    return this.#values === undefined;
  }

  /** Requests a second in the last `count` periods up to `period`, the oldest first. */
  requests(period: number, count: number): number[] {
    return this.#column(period, count, (at) => round(this.#value(at, 0) + this.#value(at, 1)));
  }

  read(period: number, count: number): Pick<DeviceHistory, 'rates' | 'heat'> {
    const columns = FIELDS.map((field, index) => [
      field,
      this.#column(period, count, (at) => round(this.#value(at, index))),
    ]);
    const heat = this.#column(period, count, (at) => {
      const first = at * LATENCY_BUCKETS;
      return Array.from(this.#heat?.subarray(first, first + LATENCY_BUCKETS) ?? []);
    });
    return { rates: Object.fromEntries(columns) as DeviceHistory['rates'], heat };
  }

  #value(at: number, field: number): number {
    return this.#values?.[at * FIELDS.length + field] ?? 0;
  }

  #column<T>(period: number, count: number, value: (at: number) => T): T[] {
    const periods = Math.min(count, this.length, period + 1);
    return Array.from({ length: periods }, (_, index) => value((period - periods + 1 + index) % this.length));
  }
}

/** A count in a byte: an eighth of a power of two is as fine as a colour can show. */
const heatOf = (count: number): number =>
  count <= 0 ? 0 : Math.min(255, 1 + Math.round(Math.log2(count) * 8));

const round = (value: number): number => Math.round(value * 10) / 10;
