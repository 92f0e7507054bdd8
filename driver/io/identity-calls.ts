/**
 * System calls that tell what a file is. They may wait for a file system (NFS, FUSE), so they run in libuv's pool;
 * such calls leave no errno behind.
 */

import fs, { type BigIntStats, constants } from 'node:fs';
import { readFile, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import koffi from 'koffi';
import { deviceText, makeDevice } from './device-number.js';

const libc = koffi.load('libc.so.6');
const statx = libc.func(
  'int statx(int directory, const char *path, int flags, unsigned int mask, void *result)',
);
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const callStatx = promisify(statx.async) as (
  directory: number,
  path: string,
  flags: number,
  mask: number,
  result: Buffer,
) => Promise<number>;
const callIoctl = promisify(ioctl.async) as (
  fd: number,
  request: number,
  argument: Buffer,
) => Promise<number>;
const nameToHandle = libc.func(
  'int name_to_handle_at(int directory, const char *path, void *handle, void *mountId, int flags)',
);
const callNameToHandle = promisify(nameToHandle.async) as (
  directory: number,
  path: string,
  handle: Buffer,
  mountId: Buffer,
  flags: number,
) => Promise<number>;
const statFile = promisify<number, { bigint: true }, BigIntStats>(fs.fstat);

const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;
/** Offsets in `struct statx`, linux/stat.h. */
const Statx = {
  SIZE: 256,
  MASK: 0,
  MODE: 28,
  INODE: 32,
  BIRTH_SECONDS: 80,
  BIRTH_NANOSECONDS: 88,
  RDEV: 128,
  DEV: 136,
} as const;

/** `_IOR('v', 1, long)`, linux/fs.h. */
const FS_IOC_GETVERSION = 0x80087601;
/** `_IOR(0x12, 128, __u64)`, linux/fs.h; Linux 5.15. */
const BLKGETDISKSEQ = 0x80081280;
/** `_IOR(0x15, 0, struct fsuuid2)`, linux/fs.h; Linux 6.9. `struct fsuuid2`: a length, 16 bytes. */
const FS_IOC_GETFSUUID = 0x80111500;
const UUID_BYTES = 16;

/** `struct file_handle`, fcntl.h: how many bytes, their kind, and the bytes (MAX_HANDLE_SZ at most). */
const FileHandle = { BYTES: 0, TYPE: 4, HANDLE: 8, MOST_BYTES: 128 } as const;

/**
 * File systems, by `f_type` of statfs(2), that make a handle anew each time they have forgotten a file, so that it says nothing:
 * FUSE, FAT, exFAT.
 */
const FORGETFUL: ReadonlySet<bigint> = new Set([0x65735546n, 0x4d44n, 0x2011bab0n]);

export interface StatxFile {
  readonly kind: 'regular' | 'block' | 'other';
  readonly device: bigint;
  readonly inode: bigint;
  readonly rdev: bigint;
  /** Nanoseconds since 1970. Null where the file system tells none, or one before. */
  readonly birthTime: bigint | null;
}

/** Rejects with the errno of fstat. */
export async function statxFile(fd: number): Promise<StatxFile> {
  const result = Buffer.alloc(Statx.SIZE);
  const mask = STATX_BASIC_STATS | STATX_BTIME;
  if ((await callStatx(fd, '', AT_EMPTY_PATH, mask, result)) !== 0) return statOnly(fd);
  const hasBirthTime = (result.readUInt32LE(Statx.MASK) & STATX_BTIME) !== 0;
  return {
    kind: kindOf(result.readUInt16LE(Statx.MODE)),
    device: deviceNumber(result, Statx.DEV),
    inode: result.readBigUInt64LE(Statx.INODE),
    rdev: deviceNumber(result, Statx.RDEV),
    birthTime: hasBirthTime ? birthTimeOf(result) : null,
  };
}

/** statx failed or is not allowed (seccomp): fstat tells why, or all but the birth time. */
async function statOnly(fd: number): Promise<StatxFile> {
  const { mode, dev, ino, rdev } = await statFile(fd, { bigint: true });
  // Node reads them as signed.
  const [device, inode] = [BigInt.asUintN(64, dev), BigInt.asUintN(64, ino)];
  return { kind: kindOf(Number(mode)), device, inode, rdev: BigInt.asUintN(64, rdev), birthTime: null };
}

function birthTimeOf(result: Buffer): bigint | null {
  const seconds = result.readBigInt64LE(Statx.BIRTH_SECONDS);
  const nanoseconds = BigInt(result.readUInt32LE(Statx.BIRTH_NANOSECONDS));
  return seconds < 0n ? null : seconds * 1_000_000_000n + nanoseconds;
}

function kindOf(mode: number): StatxFile['kind'] {
  const type = mode & constants.S_IFMT;
  if (type === constants.S_IFREG) return 'regular';
  return type === constants.S_IFBLK ? 'block' : 'other';
}

/** statx tells a device number in two halves. */
const deviceNumber = (result: Buffer, at: number): bigint =>
  makeDevice({ major: result.readUInt32LE(at), minor: result.readUInt32LE(at + 4) });

/** How often the inode number was used. Null where the file system does not tell. */
export async function fileGeneration(fd: number): Promise<bigint | null> {
  const result = Buffer.alloc(8);
  // File systems write 32 bits, whatever the number of the call says.
  return (await callIoctl(fd, FS_IOC_GETVERSION, result)) === 0 ? BigInt(result.readUInt32LE(0)) : null;
}

/** The number of a disk among all that the kernel has had. Null where it does not tell. */
export async function diskSequence(fd: number): Promise<bigint | null> {
  const result = Buffer.alloc(8);
  return (await callIoctl(fd, BLKGETDISKSEQ, result)) === 0 ? result.readBigUInt64LE(0) : null;
}

/** Hexadecimal digits. Null where the kernel or the file system tells none. */
export async function fileSystemUuid(fd: number): Promise<string | null> {
  const result = Buffer.alloc(1 + UUID_BYTES);
  if ((await callIoctl(fd, FS_IOC_GETFSUUID, result)) !== 0) return null;
  const length = Math.min(result.readUInt8(0), UUID_BYTES);
  return length === 0 ? null : result.toString('hex', 1, 1 + length);
}

/**
 * What its file system knows a file by over all time (name_to_handle_at): of ext4, xfs and tmpfs inode and generation, of btrfs
 * the subvolume as well, of NFS the server's own handle. Hexadecimal digits, the kind first. Null where there is none.
 */
export async function fileHandle(fd: number): Promise<string | null> {
  const handle = Buffer.alloc(FileHandle.HANDLE + FileHandle.MOST_BYTES);
  handle.writeUInt32LE(FileHandle.MOST_BYTES, FileHandle.BYTES);
  if ((await callNameToHandle(fd, '', handle, Buffer.alloc(8), AT_EMPTY_PATH)) !== 0) return null;
  const { type } = await statfs(`/proc/self/fd/${fd}`, { bigint: true });
  if (FORGETFUL.has(type)) return null;
  const bytes = handle.subarray(FileHandle.HANDLE).subarray(0, handle.readUInt32LE(FileHandle.BYTES));
  return `${handle.readInt32LE(FileHandle.TYPE).toString(16)}:${bytes.toString('hex')}`;
}

/** Where a partition begins: its number, and that of its disk, stay when the table is written anew. Null for a whole disk. */
export async function partitionStart(blockDevice: bigint): Promise<string | null> {
  try {
    const sector = await readFile(`/sys/dev/block/${deviceText(blockDevice)}/start`, 'latin1');
    return `start:${BigInt(sector.trim()).toString(16)}`;
  } catch {
    return null;
  }
}
