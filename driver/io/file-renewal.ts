/**
 * A file that is open is opened once more, and the new description takes the place of the old one under the same number: a
 * file system of several hosts need not bring what was opened while one of them was away to that one, ever (GlusterFS).
 */

import fs from 'node:fs';
import { promisify } from 'node:util';
import { errnoName, LoopError } from '../errno.js';
import { type LockableFile, lockForReading, type WriteLock } from './file-lock.js';
import { guarded, openNamed } from './named-file.js';
import { isDirect, replaceDescriptor, setDirect } from './syscalls.js';

const closeFile = promisify(fs.close);

/** A description that is open, and not yet in use. */
export interface FileRenewal {
  /**
   * It has the lock and the place of the present one, which is closed. No request is in flight. Throws ENOLCK and EBUSY where the
   * lock was lost: then it is not known who has the file.
   */
  take(): Promise<void>;
  /** To be called in the end, whatever came of it. Idempotent. */
  drop(): Promise<void>;
}

export interface PresentFile {
  readonly fd: number;
  readonly file: LockableFile;
  readonly writable: boolean;
  /** Of a file that is written. */
  readonly lock: WriteLock | undefined;
  /** Nobody may write it. */
  readonly isKeptFromWriters: boolean;
}

/** Opens the inode of `fd` anew, whatever its name is by now. Throws EBADF, and EROFS where it could no longer be written. */
export async function openRenewal(present: PresentFile): Promise<FileRenewal> {
  const { fd, file, writable, lock, isKeptFromWriters } = present;
  const opened = await guarded(file.path, () => openNamed(fd, !writable));
  let isOpen = true;
  const drop = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    await closeFile(opened.fd);
  };
  if (writable && !opened.writable) {
    await drop();
    throw new LoopError('EROFS', `${file.path} can't be opened for writing any more.`);
  }
  const take = async (): Promise<void> => {
    if (isDirect(fd)) await setDirect(opened.fd, true);
    await lock?.moveTo(opened.fd);
    if (isKeptFromWriters) await lockForReading(opened.fd, file);
    const error = await replaceDescriptor(opened.fd, fd);
    if (error < 0) throw new LoopError(errnoName(-error), `${file.path} can't take the place of itself.`);
  };
  return { take, drop };
}
