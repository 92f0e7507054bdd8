import { LoopError } from '../errno.js';
import type { LoopCore } from './loop-core.js';

/** From here on an open fails with ENXIO. Caller holds loMutex. Throws EBUSY. */
export function markDeleting(core: LoopCore): void {
  const file = core.binding?.file.path;
  if (core.state !== 'unbound' || core.openers.count > 0) {
    const reason = file === undefined ? 'is in use' : `has the backing file ${file}`;
    throw new LoopError('EBUSY', `${core.name} ${reason}.`);
  }
  core.enterState('deleting');
  core.queue.markDeleting();
}
