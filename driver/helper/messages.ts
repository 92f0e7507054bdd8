/** What the daemon and its helper process say to each other, a JSON message each. */

import type { ErrnoName } from '../errno.js';
import type { Tasks } from './tasks.js';

export interface Question {
  readonly id: number;
  readonly task: keyof Tasks;
  readonly argument: unknown;
}

export type Answer =
  /** The first one: from here on it answers questions. */
  | 'ready'
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly errno: ErrnoName; readonly message: string };
