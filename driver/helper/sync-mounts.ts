/** Writes back what is dirty in the file systems that are mounted from a disk. */

import { open } from 'node:fs/promises';
import { errnoName, LoopError } from '../errno.js';
import { syncFileSystem } from './block-calls.js';
import type { Disk } from './device-node.js';
import { textOf } from './processes.js';
import { namesOf } from './users.js';

/** As far as this mount namespace shows them. Waits as long as the disk takes. Throws what the file system says. */
export async function syncMounts({ disk }: Disk): Promise<void> {
  for (const target of await mountsOf(disk)) {
    const directory = await open(target, 'r');
    try {
      const errno = -(await syncFileSystem(directory.fd));
      if (errno !== 0) throw new LoopError(errnoName(errno), `${target} could not be written back`);
    } finally {
      await directory.close();
    }
  }
}

/** Where file systems of a disk are mounted, as far as this mount namespace shows them. */
export async function mountsOf(disk: string): Promise<string[]> {
  const names = await namesOf(disk);
  return textOf('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , number = '']) => names.has(number))
    .map(([, , , , target = '']) => unescaped(target));
}

/** mountinfo has blanks and the like in octal. */
const unescaped = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
