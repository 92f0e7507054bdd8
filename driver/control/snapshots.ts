/** Snapshots, with the file systems that are mounted from the devices frozen around them where that is wanted. */
import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';
import { LoopError } from '../errno.js';
import { askHelper } from '../helper/helper.js';
import type { ControlContext } from './context.js';
import type { SnapshotAnswer, SnapshotRequest } from './messages.js';

/** A file system may have much to write back, milliseconds. */
const FREEZE_MS = 60_000;
const THAW_MS = 10_000;

export async function takeSnapshots(
  { loops, attachments, log }: ControlContext,
  { devices, fsfreeze }: SnapshotRequest,
): Promise<SnapshotAnswer[]> {
  const take = (): Promise<SnapshotAnswer[]> => loops.snapshot(devices);
  if (fsfreeze !== true) return take();
  const disks = devices.map(({ number }) => {
    const node = attachments.node(number);
    if (node !== null) return basename(node);
    throw new LoopError('EINVAL', `loop${number} is not attached here: there is no file system to freeze.`);
  });
  const by = randomUUID();
  const thaw = (disk: string): Promise<void> =>
    askHelper('thawMounts', { disk, by }, THAW_MS).catch((err: unknown) => {
      log.error({ err, disk }, 'a file system could not be thawed: fsfreeze -u does it');
    });
  const frozen: string[] = [];
  try {
    for (const disk of disks) {
      frozen.push(disk);
      await askHelper('freezeMounts', { disk, by }, FREEZE_MS);
    }
    return await take();
  } finally {
    for (const disk of frozen.reverse()) await thaw(disk);
  }
}
