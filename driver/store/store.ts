/**
 * What stands behind a device's gate: the bytes of its disk, for one thread.
 *
 * The data side of the queue (`queue/queue-rq.ts`) counts a request in, admits it and keeps the counters and the map of
 * what changed; then it asks the device's `Store`. A store is opened by a thread when it is first counted in after
 * something was published, and is asked by that thread alone, while a request of it is counted in (the hints
 * `isDeferred` and `canWriteFromPipe` aside). So nothing is published while it is asked, and what several threads need
 * to know of each other lies in shared memory.
 *
 * Positions and lengths are bytes of the store: the device's offset is added. An `Errno` of 0 is success. Memory is
 * passed by address. Nothing here takes a mutex, or allocates for a request. A store that lacks a form says so, as the
 * method tells; `read`, `write`, `flush`, `trim`, `zero` and `extent` it has always.
 */
import type { Errno, ZeroMode } from '../../server/backend.js';

export interface Store {
  /** Fills `length` bytes at `address`; what lies past the end of the store reads as zeroes. */
  read(address: number, position: number, length: number): Errno;
  /** As `read`, but EAGAIN where that would wait and `startRead` would not. */
  readNow(address: number, position: number, length: number): Errno;
  write(address: number, position: number, length: number): Errno;
  /** As `write`, and what was written is durable (FUA). Absent: `write`, then `flush`. */
  writeThrough?(address: number, position: number, length: number): Errno;
  /** Everything that was written before is durable. */
  flush(): Errno;
  /** The range may read as zeroes from now on, and gives back what room it took. */
  trim(position: number, length: number): Errno;
  /** The range reads as zeroes. EOPNOTSUPP: it would be no faster than writing, and `how` says it must be. */
  zero(position: number, length: number, how: ZeroMode): Errno;
  /** Starts reading the range into memory; a hint. */
  prefetch(position: number, length: number): void;

  /** Length of the run at `position`, at most `length`: positive for data, negative for a hole. Never 0. */
  extent(position: number, length: number): number;
  /** Cheaply: the range holds no hole worth naming in a reply. */
  isData(position: number, length: number): boolean;
  /** The run at `position`, at most `length`: positive where an overlay's delta holds it, else negative. Never 0. */
  held(position: number, length: number): number;

  /*
   * Batches: small reads and writes that are carried out in order by one call. Nothing else is asked between the first
   * part and `runBatch`.
   */

  /** Adds to the batch. False where it is full, or this must be done by itself. */
  batchRead(address: number, position: number, length: number): boolean;
  batchWrite(address: number, position: number, length: number): boolean;
  /** Carries out the batch, which is empty after it. False when some part did not do all of its work. */
  runBatch(): boolean;
  /**
   * What came of part `index` after a `runBatch` that was false; asked once of each part. What was left undone is
   * now done, but for a read that would wait and could be started: that is EAGAIN.
   */
  batchResult(index: number): Errno;

  /* Pipes: data that is not copied. */

  /**
   * Moves the range into an empty pipe. Returns the bytes moved, fewer only where the store ends (the rest reads as
   * zeroes), or a negative errno: -ENOTSUP where it can't. After an error the pipe may hold some of the data.
   */
  fillPipe(pipe: number, position: number, length: number): number;
  /** False where `writeFromPipe` is not to be had. A hint. */
  canWriteFromPipe(): boolean;
  /** Moves what a pipe holds to the range. ENOTSUP where it can't: nothing was moved. */
  writeFromPipe(pipe: number, position: number, length: number): Errno;

  /*
   * Started forms: done when the thread's `Completions` say so by the token. False: not here; nothing was started, do
   * it in place. Memory is page-aligned and stays until the operation is done.
   */

  /** True while reads and writes had better be started than done in place: they wait for a disk. A hint. */
  isDeferred(): boolean;
  startRead(token: number, address: number, position: number, length: number): boolean;
  startWrite(token: number, address: number, position: number, length: number): boolean;
  startFlush(token: number): boolean;
  /** As `trim` and `zero`, of as much from `position` on as is done in one go: bytes; 0: do it in place. */
  startTrim(token: number, position: number, length: number): number;
  startZero(token: number, position: number, length: number, how: ZeroMode): number;

  /**
   * This thread asks it no more, and nothing of it is under way: something else was published, or the thread has no
   * connection to the device any more. What is open for all threads is the control side's to close.
   */
  close(): void;
}
