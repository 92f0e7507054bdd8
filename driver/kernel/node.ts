/** A device's node, asked for by way of the helper process: an open of it may wait for requests that we answer. */

import { LoopError } from '../errno.js';
import { askHelper } from '../helper/helper.js';
import { diskName, nodePath } from './sysfs.js';

/** Opens and closes wait for the device's own requests at most: a disk that takes longer is called late, milliseconds. */
const OPEN_MS = 10_000;
/** A scan of partitions reads a few blocks, of a disk that may be slow. */
const SCAN_MS = 60_000;
/** A message is worded with what was found by then. */
const NAMES_MS = 2000;

/** Opens and closes the node: the kernel lets go of a device that waits for its last close, unless others have it open. */
export const touch = (device: number): Promise<void> =>
  askHelper('touchNode', { disk: diskName(device) }, OPEN_MS);

/** True while anybody has it open, looked at until nobody has for at most `patienceMs`. */
export const isUsed = (device: number, patienceMs = 0): Promise<boolean> =>
  askHelper('isNodeUsed', { disk: diskName(device), patienceMs }, OPEN_MS + patienceMs);

/** True while a mount, a device built on it or a program that asked for it alone (O_EXCL) claims it, or one of its partitions. */
export const isClaimed = (device: number): Promise<boolean> =>
  askHelper('isClaimed', { disk: diskName(device) }, OPEN_MS);

/** Writes back what the file systems mounted from it have not written yet. ETIMEDOUT after `withinMs`. */
export const syncMounts = (device: number, withinMs: number): Promise<void> =>
  askHelper('syncMounts', { disk: diskName(device) }, withinMs);

/** True while it is mounted or another device is built on it; a program that has it open does not count. */
export const hasLastingUser = (device: number): Promise<boolean> =>
  askHelper('hasLastingUser', { disk: diskName(device) }, OPEN_MS);

/** What ends a sentence about a device in use: who it is, as far as it can be found out quickly. */
export async function usersPhrase(device: number): Promise<string> {
  const question = { disk: diskName(device), except: [process.pid], withinMs: NAMES_MS };
  const users = await askHelper('usersOf', question, OPEN_MS).catch(() => []);
  return users.length > 0 ? users.join('; ') : 'the kernel does not tell by whom';
}

/** The partitions are what the table says, 'once' where it may have been read already. EBUSY says who has one open. */
export async function readPartitions(device: number, read: 'once' | 'again'): Promise<void> {
  try {
    await askHelper('readPartitions', { disk: diskName(device), read }, SCAN_MS);
  } catch (error) {
    if (!(error instanceof LoopError)) throw error;
    const why = error.errno === 'EBUSY' ? `: ${await usersPhrase(device)}` : '';
    throw new LoopError(error.errno, `${nodePath(device)}: its partitions could not be read again${why}`);
  }
}

/** Those that are not among `keep` go. Resolves with the numbers of those that are in use and stay. */
export const dropPartitions = (device: number, keep: readonly number[]): Promise<number[]> =>
  askHelper('dropPartitions', { disk: diskName(device), keep }, SCAN_MS);

/** Numbers of the partitions that the kernel has now. */
export const partitionsOf = (device: number): Promise<number[]> =>
  askHelper('partitionsOf', { disk: diskName(device) }, OPEN_MS);
