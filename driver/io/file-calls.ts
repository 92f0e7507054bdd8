/**
 * System calls of the data path on the backing file, through koffi.
 *
 * Memory is passed by address (a Number), positions and lengths are bytes below 2^53. Results are the C
 * library's: a count, or -1 with `errno()`.
 */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

type Call<A extends unknown[]> = (...args: A) => number;

export const pread = libc.func(
  'intptr_t pread(int fd, uintptr_t buffer, size_t length, int64_t position)',
) as Call<[fd: number, address: number, length: number, position: number]>;
export const pwrite = libc.func(
  'intptr_t pwrite(int fd, uintptr_t buffer, size_t length, int64_t position)',
) as Call<[fd: number, address: number, length: number, position: number]>;
export const fdatasync = libc.func('int fdatasync(int fd)') as Call<[fd: number]>;
export const fallocate = libc.func(
  'int fallocate(int fd, int mode, int64_t position, int64_t length)',
) as Call<[fd: number, mode: number, position: number, length: number]>;
export const lseek = libc.func('int64_t lseek(int fd, int64_t position, int whence)') as Call<
  [fd: number, position: number, whence: number]
>;
/** Returns an errno, not -1. */
export const posixFadvise = libc.func(
  'int posix_fadvise(int fd, int64_t position, int64_t length, int advice)',
) as Call<[fd: number, position: number, length: number, advice: number]>;
export const memset = libc.func('void memset(uintptr_t at, int byte, size_t length)') as (
  address: number,
  byte: number,
  length: number,
) => void;
export const memcpy = libc.func('void memcpy(uintptr_t to, uintptr_t from, size_t length)') as (
  to: number,
  from: number,
  length: number,
) => void;
const spliceRaw = libc.func(
  'intptr_t splice(int from, uintptr_t offIn, int to, uintptr_t offOut, size_t length, unsigned int flags)',
) as Call<[from: number, offIn: number, to: number, offOut: number, length: number, flags: number]>;
const preadv2Raw = libc.func(
  'intptr_t preadv2(int fd, uintptr_t vectors, int count, int64_t position, int flags)',
) as Call<[fd: number, vectors: number, count: number, position: number, flags: number]>;

/** errno of the last call on this thread. */
export const errno = (): number => koffi.errno();

/** Address of memory that the kernel may use as long as the buffer is referenced. */
export const addressOf = (memory: ArrayBuffer | ArrayBufferView): number => Number(koffi.address(memory));

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const FALLOC_FL_ZERO_RANGE = 16;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const POSIX_FADV_WILLNEED = 3;
export const POSIX_FADV_DONTNEED = 4;

const SPLICE_F_NONBLOCK = 2;
export const RWF_NOWAIT = 8;

/** Scratch for calls that take a pointer to a 64-bit position or to one `struct iovec`; one a thread. */
const scratch = new Uint32Array(4);
const scratchAddress = addressOf(scratch);

function putScratch(index: 0 | 2, value: number): void {
  scratch[index] = value % 4294967296;
  scratch[index + 1] = value / 4294967296;
}

/** Moves up to `length` bytes of the file's page cache into a pipe. */
export function spliceFromFile(fd: number, position: number, pipe: number, length: number): number {
  putScratch(0, position);
  return spliceRaw(fd, scratchAddress, pipe, 0, length, SPLICE_F_NONBLOCK);
}

/** Moves up to `length` bytes that a pipe holds into the file's page cache. */
export function spliceToFile(pipe: number, fd: number, position: number, length: number): number {
  putScratch(0, position);
  return spliceRaw(pipe, 0, fd, scratchAddress, length, 0);
}

/** pread of what is in the page cache: EAGAIN when it would wait, EOPNOTSUPP where the file system can't tell. */
export function preadNoWait(fd: number, address: number, length: number, position: number): number {
  putScratch(0, address);
  putScratch(2, length);
  return preadv2Raw(fd, scratchAddress, 1, position, RWF_NOWAIT);
}
