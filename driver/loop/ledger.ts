/**
 * Where it is written which device serves which file, for a daemon that comes after this one. A change is written
 * first and then done: a daemon that ends in between leaves what was asked for, and what can't be written is not done.
 */

import type { FileIdentity } from '../io/file-identity.js';
import type { Binding } from './binding.js';

export interface Ledger {
  /** Before the device serves the binding, new or changed. Rejects when it can't be written. Caller holds loMutex. */
  note(number: number, binding: Binding): Promise<void>;
  /** Before the device lets go of it. Rejects when it can't be written, and then it still counts as noted. */
  forget(number: number, binding: Binding): Promise<void>;
  /** The same for what can't be refused: where it can't be written now, it will be as soon as that is possible. */
  forgetAnyway(number: number, binding: Binding): Promise<void>;
  /**
   * The binding that was let go of by force while the kernel had the device, which it still has: nothing else may be put
   * under it.
   */
  kept(number: number): { readonly id: string; readonly identity: FileIdentity } | undefined;
}
