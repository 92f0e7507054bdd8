import type { Backend, Errno } from '../backend.js';
import type { Memory } from '../system/buffers.js';
import { Kept } from '../wire/kept.js';
import { ChangedRange } from './range-change.js';

/** What is told when it is done. */
export interface Owner {
  /** Nobody is there to be answered any more. */
  readonly isGone: boolean;
  /** It is about to be given up: what can be left to whoever goes on is not begun. */
  readonly isParting?: boolean;
  /** Called on the thread of the connection, outside its turn. */
  done(operation: Operation): void;
}

/** A request that was started and is not answered yet. Reused. */
export class Operation extends Kept {
  backend: Backend | undefined;
  owner: Owner | undefined;
  /** What a READ fills or a WRITE comes from. */
  memory: Memory | undefined;
  /** A READ: its reply carries data. */
  isRead = false;
  /** A flush of the same request follows. */
  fua = false;
  /** It changes a range, in pieces. */
  isChange = false;
  readonly change = new ChangedRange();
  /** Nothing is said when it is done (DISC). */
  silent = false;
  /** When it was taken, milliseconds of `performance.now()`. */
  since = 0;
  errno: Errno = 0;

  constructor(readonly token: number) {
    super();
  }
}
