/**
 * System calls of the control path on a backing file, through koffi. Each resolves with its result, or a negative errno.
 * They may wait for a file system, so they run in libuv's pool. No errno is left there: a call that failed, and so does
 * not wait, is made once more for it.
 */
import { constants as fs } from 'node:fs';
import { promisify } from 'node:util';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

type Call<A extends unknown[]> = (...args: A) => number;
type PooledCall<A extends unknown[]> = (...args: A) => Promise<number>;

const fcntl = libc.func('int fcntl(int fd, int command, long argument)');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const statx = libc.func(
  'int statx(int directory, const char *path, int flags, unsigned int mask, void *result)',
);
type FcntlArguments = [fd: number, command: number, argument: number];
const fcntlCall = fcntl as Call<FcntlArguments>;
const fcntlPooled = promisify(fcntl.async) as PooledCall<FcntlArguments>;
type IoctlArguments = [fd: number, request: number, argument: Buffer];
const ioctlCall = ioctl as Call<IoctlArguments>;
const ioctlPooled = promisify(ioctl.async) as PooledCall<IoctlArguments>;
const statxPooled = promisify(statx.async) as PooledCall<
  [directory: number, path: string, flags: number, mask: number, result: Buffer]
>;

/** fcntl.h: 1024 + 6. */
const F_DUPFD_CLOEXEC = 1030;
const F_GETFL = 3;
const F_SETFL = 4;
/** fcntl.h; Node has no constant. */
const O_ACCMODE = 3;
/** `_IOR(0x12, 114, size_t)`, linux/fs.h. */
const BLKGETSIZE64 = 0x80081272;
const AT_EMPTY_PATH = 0x1000;
const STATX_DIOALIGN = 0x2000;
/** Offsets in `struct statx`, linux/stat.h. */
const StatxField = { SIZE: 256, MASK: 0, DIO_MEMORY_ALIGN: 152, DIO_OFFSET_ALIGN: 156 } as const;

const orErrno = (result: number): number => (result < 0 ? -koffi.errno() : result);

/** Turns O_DIRECT of an open file description on or off. 0, or a negative errno: EINVAL where it can't be had. */
export async function setDirect(fd: number, on: boolean): Promise<number> {
  const flags = orErrno(fcntlCall(fd, F_GETFL, 0));
  if (flags < 0) return flags;
  const wanted = on ? flags | fs.O_DIRECT : flags & ~fs.O_DIRECT;
  if ((await fcntlPooled(fd, F_SETFL, wanted)) === 0) return 0;
  return orErrno(fcntlCall(fd, F_SETFL, wanted));
}

/** Another descriptor of the same description, or a negative errno. */
export const duplicate = (fd: number): number => orErrno(fcntlCall(fd, F_DUPFD_CLOEXEC, 0));

const dup3 = libc.func('int dup3(int from, int onto, int flags)');
type Dup3Arguments = [from: number, onto: number, flags: number];
const dup3Pooled = promisify(dup3.async) as PooledCall<Dup3Arguments>;
/** fcntl.h; Node has no constant. */
const O_CLOEXEC = 0o2000000;

/**
 * From here on `onto` is the description of `from`; what it was is closed, in one step. 0, or a negative errno, EBADF where
 * one of the two is not open.
 */
export async function replaceDescriptor(from: number, onto: number): Promise<number> {
  if ((await dup3Pooled(from, onto, O_CLOEXEC)) >= 0) return 0;
  return Math.min(0, orErrno((dup3 as Call<Dup3Arguments>)(from, onto, O_CLOEXEC)));
}

/** `_IOW(0x94, 9, int)`, linux/fs.h. */
const FICLONE = 0x40049409;
const ficlone = libc.func('int ioctl(int fd, unsigned long request, long argument)') as Call<IoctlNumbers> & {
  readonly async: unknown;
};
type IoctlNumbers = [fd: number, request: number, argument: number];
const ficlonePooled = promisify(ficlone.async as never) as unknown as PooledCall<IoctlNumbers>;

/** `to` shares all blocks of `from`, whatever it had. 0, or a negative errno: EOPNOTSUPP, EXDEV, EINVAL where that can't be. */
export async function cloneFile(from: number, to: number): Promise<number> {
  if ((await ficlonePooled(to, FICLONE, from)) === 0) return 0;
  return orErrno(ficlone(to, FICLONE, from));
}

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;
const renameat2 = libc.func(
  'int renameat2(int fromDirectory, const uint8_t *from, int toDirectory, const uint8_t *to, unsigned int flags)',
);
type RenameArguments = [fromDirectory: number, from: Buffer, toDirectory: number, to: Buffer, flags: number];

/** Two names swap their files in one step, whatever happens meanwhile. 0, or a negative errno: EINVAL where that can't be. */
export function exchangeNames(a: Buffer, b: Buffer): number {
  const zero = Buffer.alloc(1);
  const words: RenameArguments = [
    AT_FDCWD,
    Buffer.concat([a, zero]),
    AT_FDCWD,
    Buffer.concat([b, zero]),
    RENAME_EXCHANGE,
  ];
  return orErrno((renameat2 as Call<RenameArguments>)(...words));
}

/** True when an open file can be written, as its descriptor says. */
export const isWritable = (fd: number): boolean => (fcntlCall(fd, F_GETFL, 0) & O_ACCMODE) === fs.O_RDWR;

/** True when what is read and written of an open file goes past the page cache. */
export const isDirect = (fd: number): boolean => (fcntlCall(fd, F_GETFL, 0) & fs.O_DIRECT) !== 0;

/** Bytes of a block device (ioctl BLKGETSIZE64), or a negative errno. */
export async function blockDeviceSize(fd: number): Promise<bigint> {
  const bytes = Buffer.alloc(8);
  const isTold = (await ioctlPooled(fd, BLKGETSIZE64, bytes)) === 0;
  const result = isTold ? 0 : orErrno(ioctlCall(fd, BLKGETSIZE64, bytes));
  return result < 0 ? BigInt(result) : bytes.readBigUInt64LE(0);
}

/**
 * Alignment in bytes that direct I/O on a file needs of memory, position and length, as statx tells since Linux 6.1;
 * undefined where the kernel or the file system does not tell.
 */
export async function statxDioAlignment(fd: number): Promise<number | undefined> {
  const result = Buffer.alloc(StatxField.SIZE);
  if ((await statxPooled(fd, '', AT_EMPTY_PATH, STATX_DIOALIGN, result)) !== 0) return undefined;
  if ((result.readUInt32LE(StatxField.MASK) & STATX_DIOALIGN) === 0) return undefined;
  const memory = result.readUInt32LE(StatxField.DIO_MEMORY_ALIGN);
  const offset = result.readUInt32LE(StatxField.DIO_OFFSET_ALIGN);
  return offset === 0 ? undefined : Math.max(memory, offset);
}
