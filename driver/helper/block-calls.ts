/** System calls on block devices, through koffi. Each returns 0, or a negative errno; none is made by the daemon. */

import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

const ioctlCall = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const mknodCall = libc.func('int mknod(const char *path, unsigned int mode, uint64_t device)') as (
  path: string,
  mode: number,
  device: bigint,
) => number;
const mmapCall = libc.func(
  'intptr_t mmap(intptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)',
) as (
  address: number,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => number;
const munmapCall = libc.func('int munmap(intptr_t address, size_t length)') as (
  address: number,
  length: number,
) => number;
const syncfsCall = libc.func('int syncfs(int fd)');
const mincoreCall = libc.func('int mincore(intptr_t address, size_t length, void *pages)') as (
  address: number,
  length: number,
  pages: Buffer,
) => number;

/** `_IO(0x12, 95)` and `_IO(0x12, 105)`, linux/fs.h and linux/blkpg.h. */
const BLKRRPART = 0x125f;
const BLKPG = 0x1269;
const BLKPG_DEL_PARTITION = 2;
/** struct blkpg_ioctl_arg: int op, flags, datalen; void *data. struct blkpg_partition: the number is at 16. */
const BlkpgArgument = { BYTES: 24, LENGTH: 8, DATA: 16 } as const;
const BlkpgPartition = { BYTES: 152, NUMBER: 16 } as const;

const S_IFBLK = 0o060000;
const PROT_READ = 1;
const MAP_SHARED = 1;
const PAGE_BYTES = 4096;

const orErrno = (result: number): number => (result < 0 ? -koffi.errno() : 0);

/** On a thread of libuv's pool: the call waits for the device's requests. */
function ioctl(fd: number, request: number, argument: Buffer | null): Promise<number> {
  return new Promise((resolve, reject) => {
    ioctlCall.async(fd, request, argument, (error: Error | null, result: number) => {
      if (error === null) resolve(orErrno(result));
      else reject(error);
    });
  });
}

/** syncfs(2), on a thread of libuv's pool. */
export function syncFileSystem(fd: number): Promise<number> {
  return new Promise((resolve, reject) => {
    syncfsCall.async(fd, (error: Error | null, result: number) => {
      if (error === null) resolve(orErrno(result));
      else reject(error);
    });
  });
}

/** `_IOWR('X', 119, int)` and `_IOWR('X', 120, int)`, linux/fs.h. */
const FIFREEZE = 0xc0045877;
const FITHAW = 0xc0045878;

/** Of the mount that `fd` is in. -EBUSY where it is frozen. */
export const freezeFileSystem = (fd: number): Promise<number> => ioctl(fd, FIFREEZE, null);
export const thawFileSystem = (fd: number): number => orErrno(ioctlCall(fd, FITHAW, null) as number);

/** Reads the partition table again. -EBUSY while a partition is open or the device is claimed. */
export const rereadPartitions = (fd: number): Promise<number> => ioctl(fd, BLKRRPART, null);

/** The kernel forgets a partition. -EBUSY while it is open, -ENXIO when there is none of this number. */
export function deletePartition(fd: number, number: number): Promise<number> {
  const partition = Buffer.alloc(BlkpgPartition.BYTES);
  new Int32Array(partition.buffer, partition.byteOffset + BlkpgPartition.NUMBER, 1)[0] = number;
  const argument = Buffer.alloc(BlkpgArgument.BYTES);
  new Int32Array(argument.buffer, argument.byteOffset, 1)[0] = BLKPG_DEL_PARTITION;
  new Int32Array(argument.buffer, argument.byteOffset + BlkpgArgument.LENGTH, 1)[0] = BlkpgPartition.BYTES;
  new BigUint64Array(argument.buffer, argument.byteOffset + BlkpgArgument.DATA, 1)[0] =
    koffi.address(partition);
  return ioctl(fd, BLKPG, argument).finally(() => void partition);
}

/** A block device's node, for this user alone. */
export const makeNode = (path: string, device: bigint): number =>
  orErrno(mknodCall(path, S_IFBLK | 0o600, device));

/** True when the page at `offset` (a multiple of 4096) is in the page cache. Undefined where that is not told. */
export function isCached(fd: number, offset: number): boolean | undefined {
  const address = mmapCall(0, PAGE_BYTES, PROT_READ, MAP_SHARED, fd, offset);
  if (address === -1) return undefined;
  const pages = Buffer.alloc(1);
  const failed = mincoreCall(address, PAGE_BYTES, pages) < 0;
  munmapCall(address, PAGE_BYTES);
  return failed ? undefined : ((pages[0] ?? 0) & 1) === 1;
}
