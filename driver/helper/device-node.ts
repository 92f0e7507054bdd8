/**
 * Whether somebody uses a disk: asked of the kernel, by opening it. Whoever has it open, in whatever way (a descriptor,
 * a mount in any mount namespace, a device built on it, one of its partitions), under whatever name, counts.
 *
 * Every task here opens and closes the disk. Where the kernel was told to disconnect at the last close, that close may
 * be the last one.
 */

import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readFile, stat, unlink } from 'node:fs/promises';
import { constants as os } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName, LoopError } from '../errno.js';
import { isCached, makeNode } from './block-calls.js';

/** A disk by its name in /sys/block, e.g. 'nbd0'. */
export interface Disk {
  readonly disk: string;
}

const SECTOR = 512;
const PAGE = 4096;
/** Between two looks at one disk, milliseconds. */
export const LOOK_MS = 50;
/** What is looked at may be dropped from the page cache for want of memory, which would pass for the last close. */
const LOOKS = 2;

let nodesMade = 0;

/**
 * Opens a disk, for reading, by its node in /dev; where that is missing or another device's, by one of our own that is
 * gone again at once.
 */
export async function openDisk(disk: string, flags = 0): Promise<FileHandle> {
  const number = deviceNumber(await readFile(`/sys/block/${disk}/dev`, 'latin1'));
  const node = `/dev/${disk}`;
  const isIt = ({ rdev, mode }: Pick<Stats, 'rdev' | 'mode'>): boolean =>
    (mode & constants.S_IFMT) === constants.S_IFBLK && BigInt(rdev) === number;
  const found = await stat(node).catch(() => undefined);
  if (found !== undefined && isIt(found)) {
    const opened = await open(node, constants.O_RDONLY | flags);
    if (isIt(await opened.stat())) return opened;
    await opened.close();
  }
  return openByOwnNode(disk, number, flags);
}

/** Not every place that can be written allows devices: /run is often mounted without. */
async function openByOwnNode(disk: string, number: bigint, flags: number): Promise<FileHandle> {
  let failure: unknown;
  for (const directory of ['/dev', '/run', '/tmp', '/var/tmp']) {
    const path = `${directory}/.nbdloop-${process.pid}-${++nodesMade}`;
    const errno = -makeNode(path, number);
    if (errno !== 0) {
      failure ??= new LoopError(errnoName(errno), `no node of ${disk} can be made in ${directory}`);
      continue;
    }
    try {
      return await open(path, constants.O_RDONLY | flags);
    } catch (error) {
      // Busy is an answer, by whatever node; a place without devices is none.
      if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
      failure = error;
    } finally {
      await unlink(path);
    }
  }
  throw failure;
}

/** `43:16` as stat has it, by glibc's gnu_dev_makedev. */
export function deviceNumber(text: string): bigint {
  const [major = 0n, minor = 0n] = text.trim().split(':').map(BigInt);
  return ((major & ~0xfffn) << 32n) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n) | (minor & 0xffn);
}

/** Opens the disk and closes it: what waits for the last close has it now, if nobody else has the disk open. */
export async function touchNode({ disk }: Disk): Promise<void> {
  await (await openDisk(disk)).close();
}

/**
 * True while somebody has the disk open. One who comes and goes meanwhile may count or not; with `patienceMs` it is
 * looked at again for so long until nobody has.
 */
export async function isNodeUsed({
  disk,
  patienceMs,
}: Disk & { readonly patienceMs: number }): Promise<boolean> {
  const deadline = Date.now() + patienceMs;
  while (await isOpen(disk)) {
    if (Date.now() >= deadline) return true;
    await sleep(LOOK_MS);
  }
  return false;
}

/** True while a mount or a device built on it claims the disk, as a program that just has it open does not. */
export async function isClaimed({ disk }: Disk): Promise<boolean> {
  try {
    await (await openDisk(disk, constants.O_EXCL)).close();
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === -os.errno.EBUSY) return true;
    throw error;
  }
}

/** The last close of a disk empties its page cache (blkdev_flush_mapping): what we read stays only if it is open. */
async function isOpen(disk: string): Promise<boolean> {
  const sectors = Number(await readFile(`/sys/block/${disk}/size`, 'latin1'));
  const offset = Math.floor(Math.max(0, sectors * SECTOR - 1) / PAGE) * PAGE;
  for (let look = 0; look < LOOKS; look++) {
    if (!(await readPage(disk, offset))) return isClaimed({ disk });
    const again = await openDisk(disk);
    const stayed = isCached(again.fd, offset);
    await again.close();
    if (stayed === undefined) return isClaimed({ disk });
    if (stayed) return true;
  }
  return false;
}

/** False when there is nothing to read, or it can't be read. */
async function readPage(disk: string, offset: number): Promise<boolean> {
  const opened = await openDisk(disk);
  try {
    return (await opened.read(Buffer.alloc(PAGE), 0, PAGE, offset)).bytesRead > 0;
  } catch {
    return false;
  } finally {
    await opened.close();
  }
}
