import type { NegotiatedContext } from '../negotiation/outcome.js';

/** What is data and what is a hole ("The `base:` metadata namespace"). */
export const ALLOCATION_CONTEXT = 'base:allocation';
/** What was changed since the device was bound, or since the last reset: flag 1 is dirty. */
export const DIRTY_CONTEXT = 'nbdloop:dirty';
/** The flag of an extent in `nbdloop:dirty`. */
export const DIRTY_FLAG = 1;

/** What the delta of an overlay holds: flag 1. */
export const OVERLAY_CONTEXT = 'nbdloop:overlay';

/** The metadata contexts a client may select, with their ids. */
export const CONTEXTS: readonly NegotiatedContext[] = [
  { id: 1, name: ALLOCATION_CONTEXT },
  { id: 2, name: DIRTY_CONTEXT },
  { id: 3, name: OVERLAY_CONTEXT },
];
