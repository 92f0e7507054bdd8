/**
 * Open file description locks (fcntl F_OFD_SETLK): they end with the process that holds them, however it ends, and
 * hold against another host where the file system is shared.
 */

import fs, { constants } from 'node:fs';
import { promisify } from 'node:util';
import koffi from 'koffi';
import { errnoName, LoopError } from '../errno.js';

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
  readonly fd: Promise<number>;
  users: number;
  /** Set when the last user is gone: until then the lock would be in the way of a new one. */
  closing: Promise<void> | undefined;
}
const held = new Map<string, HeldLock>();

export interface WriteLock {
  /** Idempotent. */
  release(): Promise<void>;
}

export interface LockableFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
}

/** Keeps other daemons from writing the file that `fd` has open. Throws EBUSY, naming the holder. */
export async function lockForWriting(fd: number, file: LockableFile): Promise<WriteLock> {
  const key = `${file.device}:${file.inode}`;
  let lock = held.get(key);
  for (; lock?.closing !== undefined; lock = held.get(key)) await lock.closing;
  if (lock === undefined) {
    lock = { fd: takeLock(fd, file), users: 0, closing: undefined };
    held.set(key, lock);
  }
  const taken = lock;
  taken.users++;
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
    await taken.fd;
  } catch (error) {
    await release();
    throw error;
  }
  return { release };
}

async function takeLock(fd: number, file: LockableFile): Promise<number> {
  const own = await openFile(`/proc/self/fd/${fd}`, constants.O_RDWR);
  const error = await lockInPool(own);
  if (error === 0 || NO_LOCKS.has(errnoName(error))) return own;
  await closeFile(own);
  const holder = await lockHolder(file.inode);
  throw new LoopError('EBUSY', `The file ${file.path} is served for writing by ${holder}.`);
}

/** Who has a file locked, as far as this machine's /proc can tell. */
export async function lockHolder(inode: bigint): Promise<string> {
  const processes = (await fs.promises.readdir('/proc')).filter((name) => /^\d+$/.test(name));
  for (const pid of processes) {
    if (Number(pid) !== process.pid && (await holdsLock(pid, inode))) {
      return `another daemon (process ${pid}, ${await commandOf(pid)})`;
    }
  }
  return 'another daemon that this process can not see, perhaps on another host';
}

/** fdinfo shows the locks of an open file: `lock: 1: OFDLCK  ADVISORY  WRITE -1 08:01:1234 start end`. */
async function holdsLock(pid: string, inode: bigint): Promise<boolean> {
  const directory = `/proc/${pid}/fdinfo`;
  const descriptors = await fs.promises.readdir(directory).catch(() => []);
  const texts = await Promise.all(
    descriptors.map((fd) => fs.promises.readFile(`${directory}/${fd}`, 'utf8').catch(() => '')),
  );
  const pattern = new RegExp(`^lock:.*OFDLCK.*:${inode} `, 'm');
  return texts.some((text) => pattern.test(text));
}

const commandOf = async (pid: string): Promise<string> =>
  (await fs.promises.readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'unknown')).trim();
