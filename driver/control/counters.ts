/** Sums a device's counters over the threads of the data path. */

import { LATENCY_BUCKETS, LaneNum, LaneWord, laneNum, laneWord, MAX_LANES } from '../queue/slots.js';
import type { DeviceCounters } from './messages.js';

/**
 * The lanes are read one after the other while they go on counting: each number is exact at some moment between
 * call and return, and together they are no snapshot.
 */
export function readCounters(shared: SharedArrayBuffer): DeviceCounters {
  const words = new Int32Array(shared);
  const numbers = new Float64Array(shared);
  const sum = (counter: number): number => {
    let total = 0;
    for (let lane = 0; lane < MAX_LANES; lane++) total += numbers[laneNum(lane) + counter] ?? 0;
    return total;
  };
  let inFlight = 0;
  for (let lane = 0; lane < MAX_LANES; lane++) {
    inFlight += Atomics.load(words, laneWord(lane) + LaneWord.IN_FLIGHT);
  }
  return {
    inFlight,
    reads: sum(LaneNum.READS),
    writes: sum(LaneNum.WRITES),
    flushes: sum(LaneNum.FLUSHES),
    trims: sum(LaneNum.TRIMS),
    writeZeroes: sum(LaneNum.WRITE_ZEROES),
    caches: sum(LaneNum.CACHES),
    blockStatuses: sum(LaneNum.BLOCK_STATUSES),
    errors: sum(LaneNum.ERRORS),
    readBytes: sum(LaneNum.READ_BYTES),
    writtenBytes: sum(LaneNum.WRITTEN_BYTES),
    parked: sum(LaneNum.PARKED),
    throttled: sum(LaneNum.THROTTLED),
    throttledMs: sum(LaneNum.THROTTLED_MS),
    faulted: sum(LaneNum.FAULTED),
    latency: Array.from({ length: LATENCY_BUCKETS }, (_, bucket) => sum(LaneNum.LATENCY + bucket)),
  };
}
