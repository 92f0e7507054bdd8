/**
 * Open file description locks (fcntl F_OFD_SETLK): they end with the process that holds them, however it ends, and
 * hold against another host where the file system is shared.
 */

import fs, { constants } from 'node:fs';
import { promisify } from 'node:util';
import koffi from 'koffi';
import { errnoName, LoopError } from '../errno.js';
import { askHelper } from '../helper/helper.js';

const fcntl = koffi.load('libc.so.6').func('int fcntl(int fd, int command, void *lock)');
const fcntlCall = fcntl as (fd: number, command: number, lock: Buffer) => number;
const fcntlPooled = promisify(fcntl.async) as (fd: number, command: number, lock: Buffer) => Promise<number>;
const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);

const F_OFD_SETLK = 37;
const F_WRLCK = 1;
const SEEK_SET = 0;
/** struct flock, 64 bit: short type, short whence, long start, long length, int pid. */
const FLOCK = { BYTES: 32, WHENCE: 2, START: 8, LENGTH: 16 } as const;
/**
 * The one byte that is locked: far behind any data, and not among those that other programs lock (qemu takes bytes
 * 100 to 203), so that the lock is between daemons of ours only. It spells "nbdloop".
 */
const LOCKED_BYTE = 0x6e62646c6f6f70n;

/** File systems that know no such locks: one daemon is then as good as it gets. */
const NO_LOCKS: ReadonlySet<string> = new Set(['EINVAL', 'ENOLCK', 'ENOSYS', 'EOPNOTSUPP']);

function writeLock(): Buffer {
  const lock = Buffer.alloc(FLOCK.BYTES);
  new Int16Array(lock.buffer, lock.byteOffset, 2).set([F_WRLCK, SEEK_SET]);
  new BigInt64Array(lock.buffer, lock.byteOffset + FLOCK.START, 2).set([LOCKED_BYTE, 1n]);
  return lock;
}

/** Locks an open file for this process. 0, or an errno: EAGAIN when somebody else has it. */
export const lockDescriptor = (fd: number): number =>
  fcntlCall(fd, F_OFD_SETLK, writeLock()) === 0 ? 0 : koffi.errno();

/** The same in libuv's pool, where no errno is left: a server may be asked, and one that refused is asked again. */
const lockInPool = async (fd: number): Promise<number> =>
  (await fcntlPooled(fd, F_OFD_SETLK, writeLock())) === 0 ? 0 : lockDescriptor(fd);

/** Locks of this process: a file that several devices write is locked once, by a descriptor of its own. */
interface HeldLock {
  /** Of the description that holds it. */
  readonly fd: Promise<number>;
  users: number;
  /** Set when the last user is gone: until then the lock would be in the way of a new one. */
  closing: Promise<void> | undefined;
}
const held = new Map<string, HeldLock>();

export interface WriteLock {
  readonly fd: number;
  /** Idempotent. */
  release(): Promise<void>;
}

export interface LockableFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
}

/**
 * Keeps other daemons from writing the file that `fd` has open. Throws EBUSY, naming the holder.
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
    taken.closing = taken.fd.then(closeFile).then(
      () => void held.delete(key),
      () => void held.delete(key),
    );
    await taken.closing;
  };
  try {
    return { fd: await taken.fd, release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function takeLock(fd: number, file: LockableFile, handed: number | undefined): Promise<number> {
  const own = handed ?? (await openFile(`/proc/self/fd/${fd}`, constants.O_RDWR));
  const error = await lockInPool(own);
  if (error === 0 || NO_LOCKS.has(errnoName(error))) return own;
  await closeFile(own);
  const holder = await lockHolder(file);
  throw new LoopError('EBUSY', `The file ${file.path} is served for writing by ${holder}.`);
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
