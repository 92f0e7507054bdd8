/** Freezes the file systems that are mounted from a disk, and lets them go. */

import { closeSync, openSync } from 'node:fs';
import { errnoName, LoopError } from '../errno.js';
import { freezeFileSystem, thawFileSystem } from './block-calls.js';
import type { Disk } from './device-node.js';
import { mountsOf } from './sync-mounts.js';

/** What is frozen, by disk: descriptors of the mount points. */
const frozen = new Map<string, number[]>();

/**
 * Everything that its programs wrote is on the disk when this resolves, and nothing is written until `thawMounts`. Throws
 * EINVAL where nothing is mounted from it, EBUSY where somebody froze it, EOPNOTSUPP.
 */
export async function freezeMounts({ disk }: Disk): Promise<void> {
  const targets = await mountsOf(disk);
  if (targets.length === 0) throw new LoopError('EINVAL', `nothing is mounted here from /dev/${disk}`);
  const descriptors: number[] = [];
  frozen.set(disk, descriptors);
  for (const target of targets) {
    const fd = openSync(target, 'r');
    const errno = -(await freezeFileSystem(fd));
    // One file system may be mounted in several places.
    if (errno !== 0 && !(descriptors.length > 0 && errnoName(errno) === 'EBUSY')) {
      closeSync(fd);
      await thawMounts({ disk });
      throw new LoopError(errnoName(errno), `${target} can't be frozen (${errnoName(errno)})`);
    }
    if (errno === 0) descriptors.push(fd);
    else closeSync(fd);
  }
}

export async function thawMounts({ disk }: Disk): Promise<void> {
  thaw(disk);
}

function thaw(disk: string): void {
  for (const fd of frozen.get(disk) ?? []) {
    thawFileSystem(fd);
    closeSync(fd);
  }
  frozen.delete(disk);
}

/** The daemon is gone, whoever it was that froze something. */
export function thawAll(): void {
  for (const disk of [...frozen.keys()]) thaw(disk);
}
