/** Freezes the file systems that are mounted from a disk, and lets them go. */

import { closeSync, openSync } from 'node:fs';
import { errnoName, LoopError } from '../errno.js';
import { freezeFileSystem, thawFileSystem } from './block-calls.js';
import type { Disk } from './device-node.js';
import { mountsOf } from './sync-mounts.js';

/** A disk whose file systems are frozen, and for whom. */
export interface Freezing extends Disk {
  /** By this the one who froze it is told from others. */
  readonly by: string;
}

interface Frozen {
  readonly by: string;
  /** Of mount points. */
  readonly descriptors: number[];
}

/** By disk. */
const frozen = new Map<string, Frozen>();

/**
 * Everything that its programs wrote is on the disk when this resolves, and nothing is written until `thawMounts`. Throws
 * EINVAL where nothing is mounted from it, EBUSY where somebody froze it, ETIMEDOUT where it was thawed meanwhile, EOPNOTSUPP.
 */
export async function freezeMounts({ disk, by }: Freezing): Promise<void> {
  if (frozen.has(disk)) throw new LoopError('EBUSY', `/dev/${disk} is frozen for somebody else`);
  const own: Frozen = { by, descriptors: [] };
  frozen.set(disk, own);
  try {
    const targets = await mountsOf(disk);
    if (targets.length === 0) throw new LoopError('EINVAL', `nothing is mounted here from /dev/${disk}`);
    for (const target of targets) await freeze(disk, own, target);
  } catch (error) {
    thaw(disk, own);
    throw error;
  }
}

async function freeze(disk: string, own: Frozen, target: string): Promise<void> {
  const { descriptors } = own;
  const fd = openSync(target, 'r');
  const errno = -(await freezeFileSystem(fd));
  if (errno === 0) descriptors.push(fd);
  else closeSync(fd);
  // One file system may be mounted in several places.
  if (errno !== 0 && !(descriptors.length > 0 && errnoName(errno) === 'EBUSY')) {
    throw new LoopError(errnoName(errno), `${target} can't be frozen (${errnoName(errno)})`);
  }
  if (frozen.get(disk) !== own) throw new LoopError('ETIMEDOUT', `${target} took too long to freeze`);
}

/** What the same one froze; nothing else. */
export async function thawMounts({ disk, by }: Freezing): Promise<void> {
  const present = frozen.get(disk);
  if (present?.by === by) thaw(disk, present);
}

function thaw(disk: string, own: Frozen): void {
  for (const fd of own.descriptors.splice(0)) {
    thawFileSystem(fd);
    closeSync(fd);
  }
  if (frozen.get(disk) === own) frozen.delete(disk);
}

/** The daemon is gone, whoever it was that froze something. */
export function thawAll(): void {
  for (const [disk, own] of frozen) thaw(disk, own);
}
