/**
 * A daemon's right to the path of a Unix socket. A lock beside the path tells a daemon that runs from a socket
 * that a killed one left behind; the kernel drops the lock with its holder, however that ends.
 */

import {
  close,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { connect } from 'node:net';
import koffi from 'koffi';
import { errnoName, LoopError } from '../errno.js';
import { isEnding } from '../process-end.js';

const flock = koffi.load('libc.so.6').func('int flock(int fd, int operation)') as (
  fd: number,
  operation: number,
) => number;
const LOCK_EX = 2;
const LOCK_NB = 4;
/** A socket address holds 108 bytes, the last one zero (unix(7)). */
const MAX_PATH_BYTES = 107;

export interface Claim {
  /** Removes the socket and gives up the path. Idempotent. */
  release(): void;
}

/**
 * Takes `path` for this process and removes a stale socket there. EADDRINUSE, naming the holder, when another
 * daemon has it or another program listens there; EEXIST when something else than a socket is there;
 * ENAMETOOLONG beyond 107 bytes.
 */
export async function claimSocket(path: string): Promise<Claim> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new LoopError('ENAMETOOLONG', `${path}: a socket's path has at most ${MAX_PATH_BYTES} bytes`);
  }
  const lock = `${path}.lock`;
  const { fd, isBroken } = lockFile(lock, path);
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    removeQuietly(path);
    removeQuietly(lock);
    close(fd, () => undefined);
  };
  try {
    // A socket whose daemon was killed may still take connections, while a thread of it waits in the kernel.
    if (isBroken) removeQuietly(path);
    else await removeStale(path);
  } catch (error) {
    released = true;
    removeQuietly(lock);
    close(fd, () => undefined);
    throw error;
  }
  return { release };
}

/** The descriptor that holds the lock, and whether that was taken from a process that is ending. */
function lockFile(lock: string, path: string): { readonly fd: number; readonly isBroken: boolean } {
  for (let isBroken = false; ; ) {
    const fd = openSync(lock, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
      const errno = errnoName(koffi.errno());
      const holder = readFileSync(fd, 'utf8').trim();
      const isDead = errno === 'EAGAIN' && isEnding(Number(holder));
      // Whoever else broke it has put a file of its own there, which stays.
      if (isDead && statSync(lock, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) removeQuietly(lock);
      close(fd, () => undefined);
      if (isDead) {
        isBroken = true;
        continue;
      }
      if (errno !== 'EAGAIN') throw new LoopError(errno, `${lock}: cannot be locked`);
      throw new LoopError(
        'EADDRINUSE',
        `${path}: another nbdloopd${holder === '' ? '' : ` (process ${holder})`} serves here`,
      );
    }
    // Its last holder may have removed the file between our open and our lock: then nobody else would see it.
    const named = statSync(lock, { throwIfNoEntry: false });
    if (named !== undefined && named.ino === fstatSync(fd).ino) {
      ftruncateSync(fd, 0);
      writeSync(fd, `${process.pid}\n`, 0);
      return { fd, isBroken };
    }
    close(fd, () => undefined);
  }
}

/** Caller holds the lock: a socket of ours is stale, and one that answers is another program's. */
async function removeStale(path: string): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new LoopError('EEXIST', `${path}: this is not a socket, and it stays`);
  if (await answers(path)) throw new LoopError('EADDRINUSE', `${path}: another program listens here`);
  removeQuietly(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => done(true));
    // Full is alive; refused is dead.
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code === 'EAGAIN'));
  });
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Gone already.
  }
}
