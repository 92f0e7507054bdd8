/**
 * The interface between the two halves on the data path.
 *
 * A transmission session (server half) serves requests against a `Backend`; the driver half implements it on
 * top of a device's shared slots. Every method runs on the thread that owns the connection, returns at once,
 * takes no mutex and allocates nothing. Positions and lengths are bytes; an `Errno` of 0 is success; memory is
 * passed by address (a number below 2^53).
 *
 * Faults are injected by wrapping a Backend.
 */

/** A Linux errno number; 0 is success. */
export type Errno = number;

/** Commands of the protocol (numbers of "Request types") as a backend sees them. */
export interface BackendRequest {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

export interface Backend {
  /** Counts one request in. False while the device is frozen: nothing was counted; retry after a thaw wake. */
  enter(): boolean;
  /** Counts it out. */
  exit(): void;

  /*
   * All of the following are called between `enter` and `exit`, on an admitted range.
   */

  /** EIO when not bound, which comes before the range check; EINVAL / ENOSPC out of range; EPERM on a write to a read-only device. */
  admit(isWrite: boolean, offset: number, length: number): Errno;
  /** True where requests must be aligned for direct I/O: memory goes through aligned buffers. */
  direct(): boolean;
  /** Fills `length` bytes at `address`; what lies past the end of a file that shrank reads as zeroes. */
  read(address: number, offset: number, length: number): Errno;
  write(address: number, offset: number, length: number): Errno;
  /** fdatasync. */
  flush(): Errno;
  /** Deallocates where the file system can; the range may read as anything until written (it reads as zeroes). */
  trim(offset: number, length: number): Errno;
  /** Zeroes the range; without `mayPunch` it stays allocated; with `fast`, ENOTSUP at once rather than slowly. */
  writeZeroes(offset: number, length: number, options: WriteZeroesOptions): Errno;
  /** Starts reading the range into the page cache. Advisory. */
  cache(offset: number, length: number): Errno;
}

export interface WriteZeroesOptions {
  readonly mayPunch: boolean;
  readonly fast: boolean;
}
