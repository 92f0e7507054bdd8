/** Whole reads and writes of a backing file. All return an errno, 0 for success; positions and lengths are bytes. */
import { constants } from 'node:os';
import { type AlignedMemory, alignedMemory } from './aligned.js';
import * as file from './file-calls.js';

const { EINTR, EINVAL, EIO, ENOTSUP } = constants.errno;

/**
 * Fills `length` bytes at `address`. A read that brings nothing has come to the end of the file, and so has one that ends
 * inside a block of `alignment` bytes; what lies past it reads as zeroes.
 */
export function readFully(
  fd: number,
  address: number,
  length: number,
  position: number,
  alignment = 1,
): number {
  let done = 0;
  while (done < length) {
    const got = file.pread(fd, address + done, length - done, position + done);
    if (got > 0 && got % alignment === 0) done += got;
    else if (got >= 0) {
      file.memset(address + done + got, 0, length - done - got);
      done = length;
    } else if (file.errno() !== EINTR) return file.errno();
  }
  return 0;
}

/** Writes all of it; a short write is continued, and ends with the error that cut it short. */
export function writeFully(fd: number, address: number, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    const put = file.pwrite(fd, address + done, length - done, position + done);
    if (put > 0) done += put;
    else if (put === 0) return EIO;
    else if (file.errno() !== EINTR) return file.errno();
  }
  return 0;
}

/** As `writeFully`, of what a pipe holds. ENOTSUP, with nothing moved, where the file can't take it. */
export function writeFromPipe(fd: number, pipe: number, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    const put = file.spliceToFile(pipe, fd, position + done, length - done);
    if (put > 0) done += put;
    else if (put === 0) return EIO;
    else if (file.errno() === EINVAL && done === 0) return ENOTSUP;
    else if (file.errno() !== EINTR) return file.errno();
  }
  return 0;
}

/** fdatasync: what was written is durable. */
export function flushFile(fd: number): number {
  while (file.fdatasync(fd) < 0) {
    if (file.errno() !== EINTR) return file.errno();
  }
  return 0;
}

/** Where direct I/O of this thread goes through; callers' memory has any alignment. */
let bounce: AlignedMemory | undefined;
const BOUNCE_BYTES = 1 << 20;

const isAligned = (position: number, length: number, alignment: number): boolean =>
  position % alignment === 0 && length % alignment === 0;

/** readFully on an O_DIRECT descriptor. EINVAL when the range is not aligned as the file needs it. */
export function readDirect(
  fd: number,
  address: number,
  length: number,
  position: number,
  alignment: number,
): number {
  if (!isAligned(position, length, alignment)) return EINVAL;
  bounce ??= alignedMemory(BOUNCE_BYTES);
  for (let done = 0; done < length; done += BOUNCE_BYTES) {
    const piece = Math.min(BOUNCE_BYTES, length - done);
    const errno = readFully(fd, bounce.address, piece, position + done, alignment);
    if (errno !== 0) return errno;
    file.memcpy(address + done, bounce.address, piece);
  }
  return 0;
}

/** writeFully on an O_DIRECT descriptor. EINVAL when the range is not aligned as the file needs it. */
export function writeDirect(
  fd: number,
  address: number,
  length: number,
  position: number,
  alignment: number,
): number {
  if (!isAligned(position, length, alignment)) return EINVAL;
  bounce ??= alignedMemory(BOUNCE_BYTES);
  for (let done = 0; done < length; done += BOUNCE_BYTES) {
    const piece = Math.min(BOUNCE_BYTES, length - done);
    file.memcpy(bounce.address, address + done, piece);
    const errno = writeFully(fd, bounce.address, piece, position + done);
    if (errno !== 0) return errno;
  }
  return 0;
}
