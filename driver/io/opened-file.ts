/** What is found out about a file that was just opened: who else uses it, and whether it is the one that is meant. */

import { LoopError } from '../errno.js';
import { deviceText } from './device-number.js';
import { describeApart, type FileIdentity } from './file-identity.js';
import { imageLocks } from './image-locks.js';

/** Warnings of the image locks that others hold. Throws EBUSY instead where the file is wanted exclusively. */
export async function foreignLocks(
  path: string,
  fd: number,
  { writable, exclusive }: { readonly writable: boolean; readonly exclusive: boolean },
): Promise<string[]> {
  const held = await imageLocks(fd, { writable });
  if (held.length === 0) return [];
  const sentence = `${path} is in use as a disk image: ${held.join(', ')}`;
  if (exclusive) throw new LoopError('EBUSY', `${sentence}.`);
  return [sentence];
}

/** What I/O on a file may wait for: its file system, or the disk that it is. Short enough for the name of a thread. */
export function domainOf({ device, blockDevice }: FileIdentity): string {
  return blockDevice === null ? `fs ${deviceText(device)}` : `disk ${deviceText(blockDevice)}`;
}

/** True where a thread is named after what it serves, and that is one thing alone. */
export const isDomain = (name: string): boolean => /^(?:fs|disk) \d+:\d+$/.test(name);

/** How often an inode's number was used is told by an open descriptor only. Throws ESTALE. */
export function proveGeneration(name: string, found: FileIdentity, meant: FileIdentity | undefined): void {
  if (meant === undefined || meant.generation === null || found.generation === null) return;
  if (meant.generation !== found.generation) throw anotherFile(name, found, meant);
}

export function anotherFile(name: string, found: FileIdentity, meant: FileIdentity): LoopError {
  const words = describeApart(found, meant);
  return new LoopError(
    'ESTALE',
    `The file ${name} is another one by now (${words.found}); meant is ${words.meant}.`,
  );
}
