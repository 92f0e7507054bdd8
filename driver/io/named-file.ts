/**
 * A file is found by its name once, as an O_PATH descriptor: it is examined before anything is opened, and what is opened
 * is what was examined, whatever the name means by then.
 */

import fs, { constants } from 'node:fs';
import { promisify } from 'node:util';
import { LoopError } from '../errno.js';
import { nameFromBytes, nameToBytes } from '../file-name.js';
import {
  describeApart,
  describeIdentity,
  type ExaminedFile,
  examineFile,
  type FileIdentity,
  sameFile,
} from './file-identity.js';

const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);

/** O_PATH of asm-generic/fcntl.h: a descriptor that names a file without opening it. Node has no constant. */
const O_PATH = 0o10000000;
/** libuv adds O_CLOEXEC to every open; O_NONBLOCK: no open waits for another process. */
const OPEN_FLAGS = constants.O_NONBLOCK | constants.O_NOCTTY;

/** What a descriptor's file is called now; undefined without /proc. */
export function nameOf(fd: number): string | undefined {
  try {
    return nameFromBytes(fs.readlinkSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }));
  } catch {
    return undefined;
  }
}

export interface NamedFile {
  /** An O_PATH descriptor. */
  readonly named: number;
  readonly examined: ExaminedFile;
}

/** What the caller means by a name. */
export interface MeantOptions {
  readonly identity?: FileIdentity | undefined;
  /** Another way to the same file, taken where it leads to it; counts with `identity` only. */
  readonly through?: string | undefined;
}

/** Names the file that the caller means. Throws EBADF, and ESTALE where it is another one. */
export async function nameMeant(path: string, { identity, through }: MeantOptions): Promise<NamedFile> {
  if (identity !== undefined && through !== undefined) {
    const handed = await nameOnly(through).catch(() => undefined);
    if (handed !== undefined && sameFile(handed.examined, identity)) return handed;
    // It has gone, or this process may not look there.
    if (handed !== undefined) await closeFile(handed.named);
  }
  const found = await guarded(path, () => nameOnly(path)).catch((error: unknown) => {
    if (identity === undefined || !(error instanceof LoopError)) throw error;
    throw new LoopError('ESTALE', `${sentenceWithout(error)}; ${meant(describeIdentity(identity))}.`);
  });
  if (identity === undefined || sameFile(found.examined, identity)) return found;
  await closeFile(found.named);
  const words = describeApart(found.examined, identity);
  throw new LoopError(
    'ESTALE',
    `The file ${path} is another one for this daemon (${words.found}); ${meant(words.meant)}.`,
  );
}

const sentenceWithout = (error: LoopError): string => error.message.replace(/\.$/, '');
const meant = (file: string): string =>
  `meant is ${file}, which has been replaced, or is seen in another mount namespace only`;

async function nameOnly(path: string): Promise<NamedFile> {
  const named = await openFile(nameToBytes(path), O_PATH);
  try {
    return { named, examined: await examineFile(named) };
  } catch (error) {
    await closeFile(named);
    throw error;
  }
}

/** What a name means here and now. Rejects where there is no such file. */
export async function identityOfName(path: string): Promise<FileIdentity> {
  const { named, examined } = await nameOnly(path);
  await closeFile(named);
  return examined;
}

/** Errors of an open for writing after which reading may still be possible. */
const READ_ONLY_REASONS = new Set(['EACCES', 'EPERM', 'EROFS', 'ETXTBSY']);

/** Opens the very file that an O_PATH descriptor names, whatever its name means by now. */
export async function openNamed(
  named: number,
  readOnly: boolean,
): Promise<{ fd: number; writable: boolean }> {
  const path = `/proc/self/fd/${named}`;
  if (!readOnly) {
    try {
      return { fd: await openFile(path, constants.O_RDWR | OPEN_FLAGS), writable: true };
    } catch (error) {
      if (!READ_ONLY_REASONS.has(codeOf(error))) throw error;
    }
  }
  return { fd: await openFile(path, constants.O_RDONLY | OPEN_FLAGS), writable: false };
}

type ErrnoName = LoopError['errno'];

/** The error is EBADF, as the kernel's; the sentence says what is behind it. */
const WHY_NOT_OPEN: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: "can't be opened: permission denied",
  EPERM: "can't be opened: permission denied",
};

export const codeOf = (error: unknown): ErrnoName =>
  ((error as NodeJS.ErrnoException).code as ErrnoName | undefined) ?? 'EIO';

/** Whatever keeps a file from being opened is EBADF: for the kernel there is no such descriptor. */
export async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    const reason = WHY_NOT_OPEN[code] ?? `can't be opened (${code})`;
    throw new LoopError('EBADF', `The file ${path} ${reason}.`);
  }
}
