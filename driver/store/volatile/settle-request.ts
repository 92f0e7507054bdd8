import type { StoreDescription } from '../description.js';
import type { Keep } from './cut.js';
import type { VolatileDescription } from './description.js';

export interface SettleRequest {
  /** What is inside of the cache. */
  readonly stores: StoreDescription;
  readonly cache: VolatileDescription;
  readonly keep: Keep;
  /** The cache is not used after this, however it ends: its room is there for what it held. */
  readonly isLast: boolean;
}
