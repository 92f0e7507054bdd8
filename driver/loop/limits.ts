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
export function limitsOf(core: LoopCore): Limits {
  const found = wrapperOf(core.binding?.wrappers ?? [], 'limits');
  if (found === undefined) return NO_LIMITS;
  const { kind: _kind, id: _id, shared: _shared, ...limits } = found;
  return limits;
}

/** Changes some of them; null takes one away. What waits is given its place anew. Throws ENXIO, EINVAL. */
export function setLimits(core: LoopCore, change: LimitsChange): Promise<void> {
  core.bound();
  changedLimits(limitsOf(core), change);
  return setWrappers(core, (wrappers) =>
    arranged(wrappers, 'limits', describedLimits(changedLimits(limitsOf(core), change))),
  );
}

/** What a binding with these limits publishes; undefined: nothing. */
export const describedLimits = (limits: Limits): WrapperDescription | undefined =>
  limitsAnything(limits) ? { kind: 'limits', ...publishedLimits(limits) } : undefined;
