import type { WrapperDescription } from '../store/description.js';
import type { LoopCore } from './loop-core.js';

/** The wrappers that a device is to have, given those that it has: no request is in flight, and all see the change. */
export type WrapperChange = (
  present: readonly WrapperDescription[],
) => readonly WrapperDescription[] | Promise<readonly WrapperDescription[]>;

/**
 * Puts stores between a bound device's gate and its file, or takes them away. `change` runs while the queue is frozen and
 * drained, so that what it reads of shared memory is whole; what takes long is done before. Where it throws, nothing has
 * changed. Throws ENXIO when not bound. No counterpart in loop.c.
 */
export const setWrappers = (core: LoopCore, change: WrapperChange): Promise<void> =>
  core.exclusive(async () => {
    core.bound();
    await using frozen = await core.queue.freeze();
    const present = core.bound();
    core.publish(frozen, { ...present, wrappers: await change(present.wrappers) });
    return 'change';
  });
