import { constants } from 'node:os';
import { LoopError } from '../errno.js';
import type { LoopCore } from './loop-core.js';

/**
 * Opens the files of a bound device once more; the new descriptions take the place of the old ones, with their locks, while no
 * request is in flight. Nothing else of the device changes. Throws ENXIO when it is not bound or its file is lost, EBUSY on the move,
 * EBADF and EROFS, and the errno of fsync; ENOLCK or EBUSY where a lock was lost: the device is condemned then.
 */
export async function renewFile(core: LoopCore): Promise<void> {
  const { file } = core.bound();
  if (core.lost !== undefined) throw new LoopError('ENXIO', `${core.name} has lost its file.`);
  // With no lock held, as an open may take long.
  const renewal = file.isCopied === true ? undefined : await file.renewal?.();
  if (renewal === undefined) throw new LoopError('EBUSY', `${core.name} is on the move.`);
  try {
    await core.exclusive(async () => {
      if (core.bound().file !== file || core.lost !== undefined) {
        throw new LoopError('EBUSY', `${core.name} has another file by now.`);
      }
      // The long wait, for the data in the page cache, comes before the freeze.
      await file.sync();
      await using _frozen = await core.queue.freeze();
      try {
        await renewal.take();
      } catch (error) {
        core.queue.condemn(constants.errno.ENOLCK);
        throw error;
      }
      return undefined;
    });
  } finally {
    await renewal.drop();
  }
}
