/**
 * Locks that qemu, and programs that do as it does, put on the images they use (block/file-posix.c): shared OFD locks,
 * a byte for each thing that the holder does (100 and on) and for each that others may not do meanwhile (200 and on). We
 * look, and take none.
 */

import { promisify } from 'node:util';
import koffi from 'koffi';

const fcntl = koffi.load('libc.so.6').func('int fcntl(int fd, int command, void *lock)');
const fcntlPooled = promisify(fcntl.async) as (fd: number, command: number, lock: Buffer) => Promise<number>;

const F_OFD_GETLK = 36;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** struct flock, 64 bit: short type, short whence (0: SEEK_SET), long start, long length, int pid (0 for OFD locks). */
const FLOCK = { BYTES: 32, START: 8 } as const;

/** All bytes of qemu's. */
const FIRST = 100n;
const COUNT = 104n;

interface ImageLock {
  readonly byte: number;
  readonly means: string;
  /** Only in the way of one who writes. */
  readonly toWriters?: true;
}

/** Those that are in our way: we read and perhaps write, and give no promise to anybody. */
const LOCKS: readonly ImageLock[] = [
  { byte: 100, means: "qemu's read lock (byte 100: its holder reads the image)", toWriters: true },
  { byte: 101, means: "qemu's write lock (byte 101: its holder writes the image)" },
  { byte: 103, means: "qemu's resize lock (byte 103: its holder may change the size)" },
  { byte: 200, means: "qemu's lock against readers (byte 200)" },
  { byte: 201, means: "qemu's lock against other writers (byte 201)", toWriters: true },
];

/** What is locked by others against one who reads, or also writes, the file; empty: nothing, or it can't be told. */
export async function imageLocks(
  fd: number,
  { writable }: { readonly writable: boolean },
): Promise<string[]> {
  if (!(await isLocked(fd, FIRST, COUNT))) return [];
  const found: string[] = [];
  for (const { byte, means, toWriters } of LOCKS) {
    if ((writable || toWriters !== true) && (await isLocked(fd, BigInt(byte), 1n))) found.push(means);
  }
  return found;
}

/** True when another open file description has a lock there, shared or not. In libuv's pool: a server may be asked. */
async function isLocked(fd: number, start: bigint, length: bigint): Promise<boolean> {
  const lock = Buffer.alloc(FLOCK.BYTES);
  const type = new Int16Array(lock.buffer, lock.byteOffset, 1);
  type[0] = F_WRLCK;
  new BigInt64Array(lock.buffer, lock.byteOffset + FLOCK.START, 2).set([start, length]);
  return (await fcntlPooled(fd, F_OFD_GETLK, lock)) === 0 && type[0] !== F_UNLCK;
}
