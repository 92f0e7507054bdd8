import { constants } from 'node:os';
import type { ZeroMode } from '../../server/backend.js';
import { type AlignedMemory, alignedMemory } from './aligned.js';
import * as file from './file-calls.js';

const { EINTR, EIO, ENODEV, EOPNOTSUPP } = constants.errno;

/** What a file's system can do; the functions here learn. */
export interface ZeroSupport {
  /** fallocate PUNCH_HOLE. */
  punch: boolean;
  /** fallocate ZERO_RANGE. */
  zero: boolean;
  /** fallocate of a hole. Must be known before a range is punched that is to stay allocated. */
  allocate: boolean | undefined;
}

export const PUNCH = file.FALLOC_FL_PUNCH_HOLE | file.FALLOC_FL_KEEP_SIZE;
const ZERO = file.FALLOC_FL_ZERO_RANGE | file.FALLOC_FL_KEEP_SIZE;

const isUnsupported = (errno: number): boolean => errno === EOPNOTSUPP || errno === ENODEV;

function allocate(fd: number, mode: number, position: number, length: number): number {
  while (file.fallocate(fd, mode, position, length) < 0) {
    if (file.errno() !== EINTR) return file.errno();
  }
  return 0;
}

/** Deallocates a range. A file system that can't leaves it as it is, as TRIM allows. Returns an errno. */
export function punchRange(fd: number, position: number, length: number, can: ZeroSupport): number {
  if (!can.punch) return 0;
  const errno = allocate(fd, PUNCH, position, length);
  if (!isUnsupported(errno)) return errno;
  can.punch = false;
  return 0;
}

/**
 * Makes a range read as zeroes: by a hole where `how.punch` allows, else by ZERO_RANGE, else by a hole that is
 * allocated again, else by writing zeroes, which `how.fast` refuses with EOPNOTSUPP. Returns an errno.
 */
export function zeroRange(
  fd: number,
  position: number,
  length: number,
  how: ZeroMode,
  can: ZeroSupport,
): number {
  if (how.punch && can.punch) {
    const errno = allocate(fd, PUNCH, position, length);
    if (!isUnsupported(errno)) return errno;
    can.punch = false;
  }
  if (can.zero) {
    const errno = allocate(fd, ZERO, position, length);
    if (!isUnsupported(errno)) return errno;
    can.zero = false;
  }
  if (can.punch) {
    const errno = punchAndAllocate(fd, position, length, can);
    if (!isUnsupported(errno)) return errno;
  }
  return how.fast ? EOPNOTSUPP : writeZeroes(fd, position, length);
}

/**
 * The call of `zeroRange` that makes a range read as zeroes, as far as is known: a mode of fallocate, or writing them.
 * 'in place': it takes more than one, or is refused.
 */
export function zeroCall(how: ZeroMode, can: ZeroSupport): number | 'write' | 'in place' {
  if (how.punch && can.punch) return PUNCH;
  if (can.zero) return ZERO;
  if (how.fast || (can.punch && can.allocate !== false)) return 'in place';
  return 'write';
}

/** Where holes cannot be filled again (ext2) nothing is punched: the errno is one of those, and nothing happened. */
function punchAndAllocate(fd: number, position: number, length: number, can: ZeroSupport): number {
  if (can.allocate === false) return EOPNOTSUPP;
  if (can.allocate === undefined) {
    const errno = allocate(fd, file.FALLOC_FL_KEEP_SIZE, position, length);
    if (isUnsupported(errno)) can.allocate = false;
    if (errno !== 0) return errno;
    can.allocate = true;
  }
  const errno = allocate(fd, PUNCH, position, length);
  if (errno === 0) return allocate(fd, file.FALLOC_FL_KEEP_SIZE, position, length);
  if (isUnsupported(errno)) can.punch = false;
  return errno;
}

/** Page-aligned, so that it also serves direct I/O; made when first needed. */
let zeroes: AlignedMemory | undefined;
const ZEROES_BYTES = 1 << 20;

/** A MiB of zeroes that stays. */
export function zeroMemory(): AlignedMemory {
  zeroes ??= alignedMemory(ZEROES_BYTES);
  return zeroes;
}

function writeZeroes(fd: number, position: number, length: number): number {
  const { address } = zeroMemory();
  for (let done = 0; done < length; ) {
    const put = file.pwrite(fd, address, Math.min(ZEROES_BYTES, length - done), position + done);
    if (put > 0) done += put;
    else if (put === 0) return EIO;
    else if (file.errno() !== EINTR) return file.errno();
  }
  return 0;
}
