/**
 * The interface between the two halves on the data path.
 *
 * A transmission session (server half) serves requests against a `Backend`; the driver half implements it on
 * top of a device's shared slots. Every method runs on the thread that owns the connection, takes no mutex and
 * allocates nothing. Positions and lengths are bytes; an `Errno` of 0 is success; memory is passed by address
 * (a number below 2^53).
 *
 * Faults are injected by wrapping a Backend.
 */

import type { MessagePort } from 'node:worker_threads';

/** A Linux errno number; 0 is success. */
export type Errno = number;

export interface Backend {
  /** Counts one request in. False while the device is frozen: nothing was counted; retry after a thaw wake. */
  enter(): boolean;
  /** Counts it out. */
  exit(): void;

  /*
   * Small reads and writes of the page cache, collected and then carried out in order by one system call. A batch
   * is one request to the queue: it is counted in once, and nothing else is asked between its first part and
   * `runBatch`. Of each part `admit` was asked.
   */

  /** Adds to the batch. False where it is full, or this must be done by itself. */
  batchRead(address: number, offset: number, length: number): boolean;
  batchWrite(address: number, offset: number, length: number): boolean;
  /** Carries out the batch, which is empty after it. False when some part did not do all of its work. */
  runBatch(): boolean;
  /**
   * What came of part `index` after a `runBatch` that was false; asked once of each part. What was left undone is
   * now done in place, but for a read that would wait for a disk and could be started: that is EAGAIN.
   */
  batchResult(index: number): Errno;

  /*
   * All of the following are called between `enter` and `exit`; those that name a range, after `admit` let it in.
   */

  /**
   * EIO when not bound, which comes before every other check; EPERM for a write to a read-only device; EINVAL
   * (ENOSPC for a write) when the range is past the present size.
   */
  admit(access: Access, offset: number, length: number): Errno;
  /** Fills `length` bytes at `address`; what lies past the end of a file that shrank reads as zeroes. */
  read(address: number, offset: number, length: number): Errno;
  /** As `read`, of what will be read again: it is not counted but for an error. */
  look(address: number, offset: number, length: number): Errno;
  /** As `read`, but EAGAIN where that would wait for a disk and `startRead` would not. */
  readNow(address: number, offset: number, length: number): Errno;
  /**
   * Moves the range from the page cache into an empty pipe. Returns the bytes moved, fewer only where the file
   * has shrunk (the rest reads as zeroes), or a negative errno: -ENOTSUP where this file or pipe can't. After an
   * error the pipe may hold some of the data.
   */
  fillPipe(pipe: number, offset: number, length: number): number;
  write(address: number, offset: number, length: number): Errno;
  /** False where `writeFromPipe` is not for the present file, or not as it is opened. */
  canWriteFromPipe(): boolean;
  /**
   * Moves `length` bytes that a pipe holds to the range, in the page cache. ENOTSUP where this file can't: nothing was
   * moved. After another error the pipe may still hold some of the data.
   */
  writeFromPipe(pipe: number, offset: number, length: number): Errno;
  /** fdatasync: everything that was written before is durable. */
  flush(): Errno;
  /** Gives the range back to the file system where that is possible; it then reads as zeroes. */
  trim(offset: number, length: number): Errno;
  writeZeroes(offset: number, length: number, how: ZeroMode): Errno;
  /** Starts reading the range into the page cache. */
  cache(offset: number, length: number): Errno;
  /** Counts a BLOCK_STATUS, which then asks `extent` and `dirty` as often as it has to. */
  queried(): void;
  /** Length of the run at `offset`, at most `length`: positive for data, negative for a hole. Never 0. */
  extent(offset: number, length: number): number;
  /** The run at `offset`, at most `length`: positive where it was changed since a reset, else negative. Never 0. */
  dirty(offset: number, length: number): number;
  /** The run at `offset`, at most `length`: positive where an overlay's delta holds it, else negative. Never 0. */
  held(offset: number, length: number): number;
  /** Cheaply: the range holds no hole worth naming in a reply. */
  isData(offset: number, length: number): boolean;

  /*
   * What may take long can be started instead: it is done when `Completions` says so by its token, and stays
   * counted in until the session then calls `finished`. False: not here; nothing was started, do it in place.
   * Memory is page-aligned and stays until the operation is done.
   */

  /** True while reads and writes had better be started than done in place: they wait for a disk (direct I/O). */
  isDeferred(): boolean;
  startRead(token: number, address: number, offset: number, length: number): boolean;
  startWrite(token: number, address: number, offset: number, length: number): boolean;
  startFlush(token: number): boolean;
  /** As `trim` and `writeZeroes`, of as much from `offset` on as is done in one go: bytes; 0: do it in place. */
  startTrim(token: number, offset: number, length: number): number;
  startZeroes(token: number, offset: number, length: number, how: ZeroMode): number;

  /*
   * Whole requests: where a device is watched (faults, limits, a write log), a READ, WRITE, FLUSH, TRIM or WRITE_ZEROES is
   * handed over in one piece, with all of its data in memory, and may have to wait. It is not counted in while it waits.
   */

  /** True while requests are to be handed over whole. Absent: never. */
  wantsWhole?(): boolean;
  /**
   * Whether the request may be carried out now. False: it is to be asked of again at its `due`. Caller is counted in, and
   * was let in by `admit`.
   */
  mayGoOn?(request: WholeRequest): boolean;
  /**
   * Carries out a request that may go on. Caller is counted in. `token`: for what is started; -1: nothing can be.
   */
  carryOut?(request: WholeRequest, token: number): Errno | CarriedOut;
  /** It was carried out, or never will be. */
  forget?(request: WholeRequest): void;

  /** Requests that were just answered: each was about so long in the server, from being received. */
  observe(requests: number, microseconds: number): void;
  /** Counts out a started operation that ended with this errno. Returns the one to answer with. */
  finished(errno: Errno): Errno;
  /** This thread has no connection to the device any more, and nothing of it is under way. */
  close?(): void;
}

/** A request that is handed over whole. */
export interface WholeRequest {
  readonly operation: WholeOperationName;
  /** A WRITE, TRIM or WRITE_ZEROES is durable before its reply. */
  readonly fua: boolean;
  /** Of a WRITE_ZEROES. */
  readonly how: ZeroMode;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
  /** Where a WRITE's payload lies, and a READ's data belongs; both are ours. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** When it is to be asked of again, milliseconds of `performance.now()`; Infinity: after the next wake. */
  due: number;
  /** Bytes of it that are done; the backend's. */
  progress: number;
  /** What was decided of it; the backend's. */
  decision: object | undefined;
}

export type WholeOperationName = 'read' | 'write' | 'flush' | 'trim' | 'zero';

/**
 * What `carryOut` came to in place of an errno: the request was started, and ends as what was started under the token does, with
 * a flush after it or without; or part of it is done, and it is to be carried out again when others had their turn.
 */
export type CarriedOut = 'started' | 'started, to flush' | 'again';

/** How a thread learns that what it started is done. */
export interface Completions {
  /** Readable when something is done. */
  readonly fd: number;
  /** The same, asked without a system call. */
  readonly isReady: boolean;
  /** Tokens are 0 to `limit` - 1; each stands for at most one operation under way. */
  readonly limit: number;
  /** Hands over what was started. False when some of it must be tried again. */
  submit(): boolean;
  reap(onDone: (token: number, errno: Errno) => void): void;
}

export type Access = 'read' | 'write';

/** How a range may be zeroed. */
export interface ZeroMode {
  /** The range may become a hole. */
  readonly punch: boolean;
  /** ENOTSUP at once where it would be no faster than writing. */
  readonly fast: boolean;
}

/** What the driver's data path module exports: one per thread. */
export interface DataPath {
  /** The device behind this shared memory, for this thread. */
  attach(shared: SharedArrayBuffer): Backend;
  /** Absent where nothing can be started: all is done in place. */
  readonly completions?: Completions | undefined;
  /** The thread was woken: it may look at what the control path put up for it. */
  look?(): void;
  /** Releases what the thread holds; nothing is under way any more. */
  close?(): void;
}

/**
 * The shape of the module whose URL a reactor is given. `lane`: this thread's number, 0 to 64. `port`: where the driver's
 * control path tells it something; absent on the main thread, where they meet.
 */
export interface DataPathModule {
  openDataPath(lane: number, port?: MessagePort): DataPath;
}
