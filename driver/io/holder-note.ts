/**
 * Who has a file, as a note on the file itself (an extended attribute): locks of a file system of several hosts do not tell
 * whose they are. Best effort, and only a note: the lock decides.
 */

import { hostname } from 'node:os';
import { promisify } from 'node:util';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const fsetxattr = libc.func(
  'int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)',
);
const fgetxattr = libc.func('intptr_t fgetxattr(int fd, const char *name, void *value, size_t size)');
const set = promisify(fsetxattr.async) as (
  fd: number,
  name: string,
  value: Buffer,
  size: number,
  flags: number,
) => Promise<number>;
const get = promisify(fgetxattr.async) as (
  fd: number,
  name: string,
  value: Buffer,
  size: number,
) => Promise<number>;

const NAME = 'user.nbdloop.holder';
/** A host's name has 64 bytes at most, and a process number 10 digits. */
const MAX_BYTES = 128;
const NOTE = /^([\x21-\x7e]{1,64}) (\d{1,10})$/;

/** This process has the file open for writing, with its lock. */
export async function noteHolder(fd: number): Promise<void> {
  const note = Buffer.from(`${hostname()} ${process.pid}`);
  await set(fd, NAME, note, note.length, 0);
}

/** Who noted last that it has the file, where that was on another host: what ends 'it is served by'. */
export async function notedHolder(fd: number): Promise<string | undefined> {
  const note = Buffer.alloc(MAX_BYTES);
  const length = await get(fd, NAME, note, note.length);
  if (length <= 0) return undefined;
  const [, host, pid] = NOTE.exec(note.toString('latin1', 0, length)) ?? [];
  return host === undefined || host === hostname() ? undefined : `a daemon on ${host} (process ${pid})`;
}
