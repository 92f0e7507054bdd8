import type { WrapperDescription } from '../store/description.js';
import { changedLimits } from '../store/limits/check-limits.js';
import {
  type Limits,
  type LimitsChange,
  limitsAnything,
  NO_LIMITS,
  publishedLimits,
} from '../store/limits/limits.js';
import { arranged, wrapperOf } from './arrange.js';
import type { LoopCore } from './loop-core.js';
import { setWrappers } from './set-wrappers.js';

/** How much a device may be asked for. */
export const limitsOf = (core: LoopCore): Limits => limitsAmong(core.binding?.wrappers ?? []);

export function limitsAmong(wrappers: readonly WrapperDescription[]): Limits {
  const found = wrapperOf(wrappers, 'limits');
  if (found === undefined) return NO_LIMITS;
  const { kind: _kind, id: _id, shared: _shared, ...limits } = found;
  return limits;
}

/**
 * Changes some of them; null takes one away. What waits is given its place anew. They are noted for the next daemon. Throws ENXIO,
 * EINVAL.
 */
export const setLimits = (core: LoopCore, change: LimitsChange): Promise<void> =>
  core.exclusive(async () => {
    const present = core.bound();
    const limits = describedLimits(changedLimits(limitsOf(core), change));
    const next = { ...present, wrappers: arranged(present.wrappers, 'limits', limits) };
    await core.replace(next, async () => {
      await using frozen = await core.queue.freeze();
      core.publish(frozen, next);
    });
    return 'change';
  });

/** For the end of the daemon: what waits goes on at once, and the next daemon has the limits still. Throws ENXIO. */
export const liftLimits = (core: LoopCore): Promise<void> =>
  setWrappers(core, (wrappers) => arranged(wrappers, 'limits', undefined));

/** What a binding with these limits publishes; undefined: nothing. */
export const describedLimits = (limits: Limits): WrapperDescription | undefined =>
  limitsAnything(limits) ? { kind: 'limits', ...publishedLimits(limits) } : undefined;
