/**
 * Open file description locks (fcntl F_OFD_SETLK): they end with the process that holds them, however it ends, and
 * hold against another host where the file system is shared.
 *
 * Every description that writes holds a lock itself: a file system of several hosts that gave a lock to another one
 * refuses what comes over the descriptions that had it, and those only (GlusterFS: client.strict-locks). One of ours has
 * the byte that daemons exclude each other by. Each further one, of a device that shares the file, has a byte of its own
 * behind it: it has flags of its own (O_DIRECT), so they can't be one.
 */

import fs from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import koffi from 'koffi';
import { errnoName, LoopError } from '../errno.js';
import { askHelper } from '../helper/helper.js';
import { notedHolder } from './holder-note.js';
import { isLeftBehind } from './left-locks.js';
import { duplicate, replaceDescriptor } from './syscalls.js';

const fcntl = koffi.load('libc.so.6').func('int fcntl(int fd, int command, void *lock)');
const fcntlCall = fcntl as (fd: number, command: number, lock: Buffer) => number;
const fcntlPooled = promisify(fcntl.async) as (fd: number, command: number, lock: Buffer) => Promise<number>;
const closeFile = promisify(fs.close);

const { EACCES, EAGAIN } = constants.errno;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** A reader that got in for a moment is waited for, so often and so long. */
const MOVE_ATTEMPTS = 20;
const MOVE_RETRY_MS = 25;
/** A lock that was left behind is asked for so often, milliseconds. */
const LEFT_RETRY_MS = 100;
const SEEK_SET = 0;
/** struct flock, 64 bit: short type, short whence, long start, long length, int pid. */
const FLOCK = { BYTES: 32, WHENCE: 2, START: 8, LENGTH: 16 } as const;
/**
 * The byte that is locked: far behind any data, and not among those that other programs lock (qemu takes bytes
 * 100 to 203), so that the lock is between daemons of ours only. It spells "nbdloop".
 */
const LOCKED_BYTE = 0x6e62646c6f6f70n;
/** Devices of a daemon that share a file, at most: as many bytes behind it. */
const MOST_SHARING = 4096;

/** File systems that know no such locks: one daemon is then as good as it gets. */
const NO_LOCKS: ReadonlySet<string> = new Set(['EINVAL', 'ENOLCK', 'ENOSYS', 'EOPNOTSUPP']);

function lockOf(type: number, byte: number): Buffer {
  const lock = Buffer.alloc(FLOCK.BYTES);
  new Int16Array(lock.buffer, lock.byteOffset, 2).set([type, SEEK_SET]);
  new BigInt64Array(lock.buffer, lock.byteOffset + FLOCK.START, 2).set([LOCKED_BYTE + BigInt(byte), 1n]);
  return lock;
}

/** Locks an open file for this process. 0, or an errno: EAGAIN when somebody else has it. */
export const lockDescriptor = (fd: number): number => lockByte(fd, F_WRLCK, 0);

/** What another description has: it writes the file, or keeps writers away. Undefined: neither, or there are no such locks. */
export function lockOfOther(fd: number): 'write' | 'read' | undefined {
  const lock = lockOf(F_WRLCK, 0);
  if (fcntlCall(fd, F_OFD_GETLK, lock) !== 0) return undefined;
  const [type] = new Int16Array(lock.buffer, lock.byteOffset, 1);
  return type === F_UNLCK ? undefined : type === F_WRLCK ? 'write' : 'read';
}

const lockByte = (fd: number, type: number, byte: number): number =>
  fcntlCall(fd, F_OFD_SETLK, lockOf(type, byte)) === 0 ? 0 : koffi.errno();

/**
 * The same in libuv's pool, where no errno is left: a server may be asked, and one that refused is asked again. `byte`
 * counts from the one that daemons exclude each other by.
 */
const lockInPool = async (fd: number, byte: number, type = F_WRLCK): Promise<number> =>
  (await fcntlPooled(fd, F_OFD_SETLK, lockOf(type, byte))) === 0 ? 0 : lockByte(fd, type, byte);

/** Locks of this process: what keeps others from a file that several devices write stays until the last one is gone. */
interface HeldLock {
  /** Another descriptor of the description that holds it: the first device's, whether that is still there or not. */
  readonly fd: Promise<number>;
  users: number;
  /** Set when the last user is gone: until then the lock would be in the way of a new one. */
  closing: Promise<void> | undefined;
}
const held = new Map<string, HeldLock>();

export interface WriteLock {
  readonly fd: number;
  /**
   * Asks for it again: whoever has it gets it. False where a server of the file system has given it to another, or the
   * descriptor up.
   */
  isHeld(): Promise<boolean>;
  /**
   * Another description of the same file has the lock from here on, and nobody could have it in between. Nothing is under way
   * over the old one, which the caller replaces with it. Throws ENOLCK where the lock was lost already, EBUSY where another
   * has it now.
   */
  moveTo(next: number): Promise<void>;
  /** Idempotent. */
  release(): Promise<void>;
}

export interface LockableFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
  /** Where a lock that a daemon before this one left behind does not count: what its I/O waits for. */
  readonly domain?: string;
}

/**
 * Keeps other daemons from writing the file that `fd` has open for writing, by a lock of that very description. Throws
 * EBUSY, naming the holder.
 *
 * `handed`: a description that has the lock already, from the process that had it before; it is the lock's from here on.
 */
export async function lockForWriting(fd: number, file: LockableFile, handed?: number): Promise<WriteLock> {
  const key = `${file.device}:${file.inode}`;
  let lock = held.get(key);
  for (; lock?.closing !== undefined; lock = held.get(key)) await lock.closing;
  if (lock === undefined) {
    lock = { fd: takeLock(fd, file, handed), users: 1, closing: undefined };
    held.set(key, lock);
  } else {
    lock.users++;
    // Another device came with the same description.
    if (handed !== undefined) await closeFile(handed);
  }
  const taken = lock;
  let isReleased = false;
  const release = async (): Promise<void> => {
    if (isReleased) return;
    isReleased = true;
    if (--taken.users > 0) return;
    taken.closing = taken.fd.then(closeLock).then(
      () => void held.delete(key),
      () => void held.delete(key),
    );
    await taken.closing;
  };
  try {
    const lockFd = await taken.fd;
    const byte = await lockDescription(fd);
    const isHeld = async (): Promise<boolean> => {
      const error = await lockInPool(lockFd, 0);
      return error === 0 || NO_LOCKS.has(errnoName(error));
    };
    const moveTo = async (next: number): Promise<void> => {
      if (byte === undefined) return;
      await moveByte(fd, next, byte);
      // What was taken by a device that is gone comes along with the last one.
      const isLast = byte !== 0 && taken.users === 1;
      if (isLast) await moveByte(lockFd, next, 0);
      if (byte === 0 || isLast) await replaceDescriptor(next, lockFd);
    };
    return { fd: lockFd, isHeld, moveTo, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * Keeps everybody from writing the file that `fd` has open for reading, as long as that description is open; others may do the
 * same. Throws EBUSY, naming who writes it.
 */
export async function lockForReading(fd: number, file: LockableFile): Promise<void> {
  const lock = lockOf(F_RDLCK, 0);
  if ((await fcntlPooled(fd, F_OFD_SETLK, lock)) === 0 || fcntlCall(fd, F_OFD_SETLK, lock) === 0) return;
  const errno = koffi.errno();
  if (NO_LOCKS.has(errnoName(errno))) return;
  // The description that had it for writing has it for reading now: `held` is let go of by its user.
  const isOurs = held.has(`${file.device}:${file.inode}`);
  const holder = isOurs ? 'this daemon' : await lockHolder(file);
  throw new LoopError('EBUSY', `The file ${file.path} is served for writing by ${holder}.`);
}

/** What `lockForReading` took still holds: it is asked for again. */
export async function isReadLocked(fd: number): Promise<boolean> {
  const error = await lockInPool(fd, 0, F_RDLCK);
  return error === 0 || NO_LOCKS.has(errnoName(error));
}

/** What `lockForReading` took of this description is given back. */
export const unlockReading = async (fd: number): Promise<void> => {
  await fcntlPooled(fd, F_OFD_SETLK, lockOf(F_UNLCK, 0));
};

async function takeLock(fd: number, file: LockableFile, handed: number | undefined): Promise<number> {
  const own = handed ?? duplicate(fd);
  if (own < 0) throw new LoopError(errnoName(-own), `The file ${file.path} can't be locked.`);
  const error = await lockInPool(own, 0);
  if (error === 0 || NO_LOCKS.has(errnoName(error))) return own;
  if (file.domain !== undefined && isLeftBehind(file.inode, file.domain)) {
    left.add(own);
    void takeWhenFree(own);
    return own;
  }
  const elsewhere = await notedHolder(own);
  await closeFile(own);
  const holder = elsewhere ?? (await lockHolder(file));
  throw new LoopError('EBUSY', `The file ${file.path} is served for writing by ${holder}.`);
}

/** Descriptors whose lock another process has left behind, and still has. */
const left = new Set<number>();

/** It is taken as soon as that process has ended, unless the descriptor is closed before. */
async function takeWhenFree(own: number): Promise<void> {
  while (left.has(own) && lockByte(own, F_WRLCK, 0) === EAGAIN) {
    await sleep(LEFT_RETRY_MS, undefined, { ref: false });
  }
  left.delete(own);
}

function closeLock(fd: number): Promise<void> {
  left.delete(fd);
  return closeFile(fd);
}

/** The description has a lock when this resolves, where there are locks: the first byte of those that nobody else has. */
async function lockDescription(fd: number): Promise<number | undefined> {
  for (let byte = 0; byte <= MOST_SHARING; byte++) {
    const error = await lockInPool(fd, byte);
    if (error === 0) return byte;
    if (error !== EAGAIN && error !== EACCES) return undefined;
  }
  return undefined;
}

/** Both have it for reading for a moment, so that there is none in which another could have it for writing. */
async function moveByte(from: number, to: number, byte: number): Promise<void> {
  const lower = await lockInPool(from, byte, F_RDLCK);
  if (lower !== 0) throw new LoopError('ENOLCK', `the lock of a file is gone (${errnoName(lower)})`);
  const shared = await lockInPool(to, byte, F_RDLCK);
  if (shared !== 0) throw new LoopError('ENOLCK', `a file can't be locked anew (${errnoName(shared)})`);
  await lockInPool(from, byte, F_UNLCK);
  for (let attempt = 1; ; attempt++) {
    const error = await lockInPool(to, byte);
    if (error === 0) return;
    if (attempt === MOVE_ATTEMPTS) throw new LoopError('EBUSY', 'another has the lock of a file');
    await sleep(MOVE_RETRY_MS);
  }
}

/** Looked for no longer than this, milliseconds. */
const HOLDER_MS = 500;
/** Who tries a lock again and again is told what was found the first time, for so long. */
const HOLDER_KEPT_MS = 10_000;
const holders = new Map<string, Promise<string>>();

/** Who has a file locked, as far as this machine's /proc can tell in time: what ends 'it is in use by'. */
export function lockHolder({ device, inode }: Pick<LockableFile, 'device' | 'inode'>): Promise<string> {
  const key = `${device}:${inode}`;
  const known = holders.get(key);
  if (known !== undefined) return known;
  const question = { device, inode, except: [process.pid], withinMs: HOLDER_MS };
  const answer = askHelper('lockHolder', question, 4 * HOLDER_MS).catch(() => 'another daemon');
  holders.set(key, answer);
  setTimeout(() => holders.delete(key), HOLDER_KEPT_MS).unref();
  return answer;
}
