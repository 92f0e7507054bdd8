/** Whether a disk has a user who has come to stay. */

import { type Disk, isClaimed, isNodeUsed, LOOK_MS } from './device-node.js';
import { loopsOn, namesOf } from './users.js';

/**
 * True while the disk is mounted, part of another device or the file of a kernel's loop device. Those who look at it
 * for a moment do not count, however many they are, nor does a program that has it open.
 */
export async function hasLastingUser({ disk }: Disk): Promise<boolean> {
  // Our own claim would be in the way of one who comes at that moment: none is made unless there is something to see.
  if (!(await isNodeUsed({ disk, patienceMs: 4 * LOOK_MS }))) return false;
  // The kernel's loop driver claims nothing.
  return (await isClaimed({ disk })) || loopsOn(await namesOf(disk)).length > 0;
}
