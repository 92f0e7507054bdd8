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
  const fd = lockFile(lock, path);
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    removeQuietly(path);
    removeQuietly(lock);
    close(fd, () => undefined);
  };
  try {
    await removeStale(path);
  } catch (error) {
    released = true;
    removeQuietly(lock);
    close(fd, () => undefined);
    throw error;
  }
  return { release };
}

/** Returns the descriptor that holds the lock. */
function lockFile(lock: string, path: string): number {
  for (;;) {
    const fd = openSync(lock, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
      const errno = errnoName(koffi.errno());
      const holder = readFileSync(fd, 'utf8').trim();
      close(fd, () => undefined);
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
      return fd;
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
