import type { StoreDescription } from '../description.js';
import type { Keep } from './cut.js';

export interface SettleRequest {
  /** What is inside of the cache. */
  readonly stores: StoreDescription;
  /** A descriptor. */
  readonly journal: number;
  readonly keep: Keep;
}
