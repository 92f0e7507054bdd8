import type { LoopCore } from './loop-core.js';

/**
 * Forgets what was changed so far, at one moment for all threads: what was answered before it is forgotten, what
 * comes after is remembered. Throws ENXIO when not bound. No counterpart in loop.c.
 */
export const loopResetDirty = (core: LoopCore): Promise<void> =>
  core.exclusive(async () => {
    const { size } = core.bound();
    await using _frozen = await core.queue.freeze();
    core.dirty.reset(size);
    return undefined;
  });
