/** Partitions of a disk in the kernel. */

import { readdir, readFile } from 'node:fs/promises';
import { constants as os } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName, LoopError } from '../errno.js';
import { deletePartition, rereadPartitions } from './block-calls.js';
import { type Disk, openDisk } from './device-node.js';

/** Who has a partition open for a moment, as udev does with each new one, is waited for so long, milliseconds. */
const BUSY_MS = 2000;
const RETRY_MS = 50;

const { EBUSY, ENXIO } = os.errno;

/** Numbers of the disk's partitions: 1 for nbd0p1. */
export async function partitionsOf({ disk }: Disk): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir(`/sys/block/${disk}`)) {
    if (!name.startsWith(disk)) continue;
    const number = await readFile(`/sys/block/${disk}/${name}/partition`, 'latin1').catch(() => undefined);
    if (number !== undefined) found.push(Number(number));
  }
  return found.sort((a, b) => a - b);
}

/**
 * The partitions are those that the disk's table says, when this resolves. 'once': they may have been read already, by
 * the first open of a disk that is new. Throws EBUSY while one of them is in use.
 */
export async function readPartitions({
  disk,
  read,
}: Disk & { readonly read: 'once' | 'again' }): Promise<void> {
  const opened = await openDisk(disk);
  try {
    if (read === 'once' && (await partitionsOf({ disk })).length > 0) return;
    const deadline = Date.now() + BUSY_MS;
    for (;;) {
      const errno = -(await rereadPartitions(opened.fd));
      if (errno === 0) return;
      // Claimed as a whole, it has no partitions that anybody could use.
      if (errno === EBUSY && (await partitionsOf({ disk })).length === 0) return;
      if (errno !== EBUSY || Date.now() > deadline) {
        throw new LoopError(errnoName(errno), `the partitions of ${disk} could not be read`);
      }
      await sleep(RETRY_MS);
    }
  } finally {
    await opened.close();
  }
}

/**
 * The kernel, which has read the table at an open or does so now, forgets the partitions that are not among `keep`.
 * Resolves with those that are in use and stay.
 */
export async function dropPartitions({
  disk,
  keep,
}: Disk & { readonly keep: readonly number[] }): Promise<number[]> {
  const opened = await openDisk(disk);
  try {
    const deadline = Date.now() + BUSY_MS;
    for (;;) {
      const unwanted = (await partitionsOf({ disk })).filter((number) => !keep.includes(number));
      const inUse: number[] = [];
      for (const number of unwanted) {
        const errno = -(await deletePartition(opened.fd, number));
        if (errno === EBUSY) inUse.push(number);
        else if (errno !== 0 && errno !== ENXIO) {
          throw new LoopError(errnoName(errno), `partition ${number} of ${disk} could not be removed`);
        }
      }
      if (inUse.length === 0 || Date.now() > deadline) return inUse;
      await sleep(RETRY_MS);
    }
  } finally {
    await opened.close();
  }
}
