import { BackingFile } from '../../io/backing-file.js';
import { isDeltaFile } from '../../store/delta/delta-file.js';
import type { Backing } from '../backing.js';

/**
 * What to say where a delta is bound as if it were an image: what it shows is in its base, too. It may be meant. Before direct
 * I/O is on, which takes no such reads; a file that can't be read is bound all the same.
 */
export async function rawDeltaNotes(file: Backing): Promise<readonly string[]> {
  if (!(file instanceof BackingFile) || file.identity.kind !== 'regular') return [];
  if (!(await file.inTurn(isDeltaFile).catch(() => false))) return [];
  return [
    `${file.path} looks like the delta of an overlay, and is served as the bytes it has: nbdlosetup --overlay DELTA BASE shows its disk.`,
  ];
}
