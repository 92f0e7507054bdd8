/**
 * Memory that all threads of a process share by its address, and that, where a file is behind it, outlives the process.
 * Control side: it maps and unmaps; nobody looks at what was unmapped.
 */
import { constants } from 'node:os';
import koffi from 'koffi';
import { errnoName, LoopError } from '../errno.js';

const libc = koffi.load('libc.so.6');

type Call<A extends unknown[]> = (...args: A) => number;

const mmap = libc.func(
  'intptr_t mmap(uintptr_t at, size_t length, int protection, int flags, int fd, int64_t offset)',
) as Call<[at: number, length: number, protection: number, flags: number, fd: number, offset: number]>;
const munmap = libc.func('int munmap(uintptr_t at, size_t length)') as Call<[at: number, length: number]>;

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_ANONYMOUS = 0x20;
const MAP_FAILED = -1;

/** Plain data, which a description may hold. */
export interface Mapped {
  readonly address: number;
  /** Whole pages. */
  readonly bytes: number;
}

/** Maps the beginning of a file, whose room is reserved already; -1: zeroes. Throws the errno of mmap. */
export function mapShared(fd: number, bytes: number): Mapped {
  const flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
  const address = Number(mmap(0, bytes, PROT_READ_WRITE, flags, fd, 0));
  if (address !== MAP_FAILED) return { address, bytes };
  const errno = koffi.errno();
  throw new LoopError(
    errnoName(errno === 0 ? constants.errno.ENOMEM : errno),
    `No memory of ${bytes} bytes is to be had.`,
  );
}

export function unmap({ address, bytes }: Mapped): void {
  munmap(address, bytes);
}

/** The memory as words, for as long as it is mapped. Not shared in the language's eyes: `Atomics.wait` is not for it. */
export const wordsOf = ({ address, bytes }: Mapped): Int32Array =>
  new Int32Array(koffi.view(BigInt(address), bytes));
