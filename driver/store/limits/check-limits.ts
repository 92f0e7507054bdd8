import { LoopError } from '../../errno.js';
import { type Limits, type LimitsChange, NO_LIMITS } from './limits.js';

const MOST = Number.MAX_SAFE_INTEGER;
const LONGEST_BURST_S = 3600;

/** The present limits with a change. Throws EINVAL. */
export function changedLimits(present: Limits, change: LimitsChange): Limits {
  const next: Record<string, number | null> = { ...present };
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(NO_LIMITS, name)) throw new LoopError('EINVAL', `there is no limit '${name}'`);
    next[name] = value ?? NO_LIMITS[name as keyof Limits];
    if (value !== null) check(name, value);
  }
  return next as unknown as Limits;
}

function check(name: string, value: number): void {
  if (name.startsWith('burst')) {
    if (value >= 0 && value <= LONGEST_BURST_S) return;
    throw new LoopError(
      'EINVAL',
      `the limit '${name}' is from 0 to ${LONGEST_BURST_S} seconds, not ${value}`,
    );
  }
  const unit = name.startsWith('iops') ? 'requests' : 'bytes';
  if (value > 0 && value <= MOST) return;
  throw new LoopError(
    'EINVAL',
    `the limit '${name}' is a number of ${unit} a second above 0, not ${value}; none is no limit`,
  );
}
