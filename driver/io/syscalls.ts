/**
 * System calls of the control path on a backing file, through koffi. Each returns its result, or a negative errno;
 * none of them waits for I/O.
 */
import { constants as fs } from 'node:fs';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

const fcntlCall = libc.func('int fcntl(int fd, int command, ...)');
const ioctlCall = libc.func('int ioctl(int fd, unsigned long request, ...)');
const statxCall = libc.func(
  'int statx(int directory, const char *path, int flags, unsigned int mask, void *result)',
) as (directory: number, path: string, flags: number, mask: number, result: Buffer) => number;

const F_GETFL = 3;
const F_SETFL = 4;
/** `_IOR(0x12, 114, size_t)`, linux/fs.h. */
const BLKGETSIZE64 = 0x80081272;
const AT_EMPTY_PATH = 0x1000;
const STATX_DIOALIGN = 0x2000;
/** Offsets in `struct statx`, linux/stat.h. */
const StatxField = { SIZE: 256, MASK: 0, DIO_MEMORY_ALIGN: 152, DIO_OFFSET_ALIGN: 156 } as const;

const orErrno = (result: number): number => (result < 0 ? -koffi.errno() : result);

/** Turns O_DIRECT of an open file description on or off. 0, or a negative errno: EINVAL where it can't be had. */
export function setDirect(fd: number, on: boolean): number {
  const flags = orErrno(fcntlCall(fd, F_GETFL));
  if (flags < 0) return flags;
  const wanted = on ? flags | fs.O_DIRECT : flags & ~fs.O_DIRECT;
  return orErrno(fcntlCall(fd, F_SETFL, 'int', wanted));
}

/** Bytes of a block device (ioctl BLKGETSIZE64), or a negative errno. */
export function blockDeviceSize(fd: number): bigint {
  const bytes = Buffer.alloc(8);
  const result = orErrno(ioctlCall(fd, BLKGETSIZE64, 'void *', bytes));
  return result < 0 ? BigInt(result) : bytes.readBigUInt64LE(0);
}

/**
 * Alignment in bytes that direct I/O on a file needs of memory, position and length, as statx tells since Linux 6.1;
 * undefined where the kernel or the file system does not tell.
 */
export function statxDioAlignment(fd: number): number | undefined {
  const result = Buffer.alloc(StatxField.SIZE);
  if (orErrno(statxCall(fd, '', AT_EMPTY_PATH, STATX_DIOALIGN, result)) < 0) return undefined;
  if ((result.readUInt32LE(StatxField.MASK) & STATX_DIOALIGN) === 0) return undefined;
  const memory = result.readUInt32LE(StatxField.DIO_MEMORY_ALIGN);
  const offset = result.readUInt32LE(StatxField.DIO_OFFSET_ALIGN);
  return offset === 0 ? undefined : Math.max(memory, offset);
}
