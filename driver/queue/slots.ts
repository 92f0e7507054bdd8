/**
 * Layout of a device's SharedArrayBuffer: what control path and data path share, by named slot.
 *
 * Words are Int32 (used with Atomics); numbers are Float64. The control path writes the state words only while
 * the queue is frozen and drained, or before the device can be opened, so a request that was counted in reads
 * a consistent set. Each lane belongs to one thread of the data path, which is its only writer; a lane is a
 * whole number of cache lines.
 */

/** Int32 words. */
export const Word = {
  /** Depth of freezes; a request enters only at 0. */
  FREEZE_DEPTH: 0,
  /** One of `DeviceState`. */
  STATE: 1,
  /** Descriptor of the backing file, -1 when there is none. */
  FD: 2,
  /** `LoFlag` bits. */
  FLAGS: 3,
  /** Logical block size, bytes. */
  BLOCK_SIZE: 4,
  /** Alignment in bytes that direct I/O needs of memory, offset and length. */
  DIO_ALIGN: 5,
  /** Grows at every change of these words and numbers: what a thread learned of a file is void when this moves. */
  FILE_GENERATION: 6,
  /** Grows after each TRIM and WRITE_ZEROES: what was found to be data may be a hole. Any thread adds to it. */
  ZEROED: 7,
  /** Number of the stores on the board (`store-board.ts`); 0: the file of `FD` is the plain case. */
  STORE: 8,
  /**
   * Errno by which the file proved to be lost, or (EIO) may be; 0: none. Any thread sets it and wakes who waits for it;
   * with it nothing is served any more, but for EIO without `LoFlag.FENCED`. Cleared by a publication.
   */
  LOST: 9,
} as const;

/** Float64 numbers, in bytes. Exact up to 2^53. */
export const Num = {
  /** Where the device starts in the file. */
  OFFSET: 8,
  /** Present size of the device. */
  SIZE: 9,
  /** Bytes that a bit of the dirty map stands for. */
  DIRTY_BLOCK: 10,
} as const;

/** Wire-independent state numbers of `Word.STATE`. */
export const DeviceState = { UNBOUND: 0, BOUND: 1, RUNDOWN: 2, DELETING: 3 } as const;

/** Flag bits: the kernel's LO_FLAGS_* (uapi linux/loop.h), and from bit 16 on what it has none for. */
export const LoFlag = {
  READ_ONLY: 1,
  AUTOCLEAR: 4,
  PARTSCAN: 8,
  DIRECT_IO: 16,
  /** What the file system calls a hole is one (`tellsHoles`); without it all of the file is data. */
  TELLS_HOLES: 1 << 16,
  /** Requests are handed over whole (`queue/watch.ts`). */
  WATCHED: 1 << 17,
  /** Another host may have the file: a plain EIO is a doubt that counts (`--cluster`). */
  FENCED: 1 << 18,
} as const;

/** Threads of the data path a device can have. */
export const MAX_LANES = 64;

const LANE_BASE = 256;
/** Bytes of a lane. */
export const LANE_BYTES = 1024;

/** Int32 words of a lane, relative to `laneWord(lane)`. */
export const LaneWord = {
  /** Requests counted in on this thread; a freeze waits until it is 0 on every lane. */
  IN_FLIGHT: 0,
} as const;

/** Float64 counters of a lane, relative to `laneNum(lane)`; the first is 64 bytes into the lane. */
export const LaneNum = {
  READS: 0,
  WRITES: 1,
  FLUSHES: 2,
  TRIMS: 3,
  WRITE_ZEROES: 4,
  CACHES: 5,
  BLOCK_STATUSES: 6,
  ERRORS: 7,
  READ_BYTES: 8,
  WRITTEN_BYTES: 9,
  /** Requests that found the queue frozen. */
  PARKED: 10,
  /** Requests that had to wait for a limit, and for how long, milliseconds. */
  THROTTLED: 11,
  THROTTLED_MS: 12,
  /** Requests that met a fault. */
  FAULTED: 13,
  /** `LATENCY_BUCKETS` counts: bucket i holds requests of less than 2^i microseconds in the server. */
  LATENCY: 16,
} as const;

export const LATENCY_BUCKETS = 28;

/** Index into the Int32 view of a lane's first word. */
export const laneWord = (lane: number): number => (LANE_BASE + lane * LANE_BYTES) / 4;
/** Index into the Float64 view of a lane's first counter. */
export const laneNum = (lane: number): number => (LANE_BASE + lane * LANE_BYTES + 64) / 8;

/** Where the dirty map starts, bytes. */
export const DIRTY_OFFSET = LANE_BASE + MAX_LANES * LANE_BYTES;
const DIRTY_BYTES = 2 << 20;

/** Bytes of a device's shared memory. */
export const SHARED_BYTES = DIRTY_OFFSET + DIRTY_BYTES;
