import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Backend, Errno } from '../backend.js';
import type { Operation } from './operation.js';
import { PieceSize } from './piece-size.js';
import { admitChange, CHANGE_BYTES, changeRange, startChange } from './range-change.js';

const { ECANCELED } = constants.errno;

/** What is known of a device on this thread. */
interface Pace {
  /** A piece is under way. */
  isBusy: boolean;
  readonly size: PieceSize;
}

/**
 * TRIM and WRITE_ZEROES that take long: started, one piece after the other, so that nobody waits for more than a piece.
 *
 * While a piece is under way the file is locked to every other writer, on whatever thread: so a piece is as large as
 * takes about a millisecond (`PieceSize`), and a device has one under way at a time on each thread. Each piece is a request of its own
 * to the queue: a freeze waits for no more than that, and what it changes is seen by the next one. A range whose owner is
 * gone is left as it is by then.
 */
export class Changes {
  readonly #paces = new WeakMap<Backend, Pace>();
  /** Between two pieces, in the order in which they came. */
  #waiting: Operation[] = [];
  /** Some of those that wait may go on. */
  #isRunnable = false;

  /** `onEnd`: the operation is not counted in any more; its errno is set. */
  constructor(private readonly onEnd: (operation: Operation) => void) {}

  /** There is something for `goOn` to do. */
  get hasWork(): boolean {
    return this.#isRunnable;
  }

  /** Takes on an operation with a range to change. Caller is counted in, which this takes over where it is true. */
  begin(operation: Operation, backend: Backend): boolean {
    if (this.#paceOf(backend).isBusy) {
      backend.exit();
      this.#waiting.push(operation);
      return true;
    }
    return this.#start(operation, backend);
  }

  /** A piece has ended. False when it was the last one: the operation is still counted in then. */
  pieceEnded(operation: Operation, backend: Backend, errno: Errno): boolean {
    const { change } = operation;
    const pace = this.#paceOf(backend);
    pace.isBusy = false;
    pace.size.took(change.piece, performance.now() - change.since);
    change.took(change.piece);
    if (this.#waiting.length > 0) this.#isRunnable = true;
    if (errno !== 0 || change.remaining === 0) return false;
    backend.finished(0);
    this.#waiting.push(operation);
    this.#isRunnable = true;
    return true;
  }

  /** The device may have thawed. */
  thawed(): void {
    this.#isRunnable = this.#waiting.length > 0;
  }

  /** Next pieces of those that can go on. To be called when nothing else is in the middle of something. */
  goOn(): void {
    if (!this.#isRunnable) return;
    this.#isRunnable = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const operation of waiting) this.#next(operation);
  }

  /** Operations of an owner, which nothing is under way for: they are the caller's, with what is left of their ranges. */
  take(owner: unknown): Operation[] {
    const left = this.#waiting.filter((operation) => operation.owner === owner);
    if (left.length > 0) this.#waiting = this.#waiting.filter((operation) => operation.owner !== owner);
    return left;
  }

  #next(operation: Operation): void {
    const { backend, change, owner } = operation;
    if (backend === undefined) return;
    if (owner?.isGone === true) this.#end(operation, ECANCELED);
    else if (owner?.isParting === true || this.#paceOf(backend).isBusy || !backend.enter())
      this.#waiting.push(operation);
    else {
      const refusal = admitChange(backend, change.type, change.position, change.remaining);
      if (refusal === 0 && this.#start(operation, backend)) return;
      const errno = refusal || this.#inPlace(operation, backend);
      backend.exit();
      if (errno !== 0 || change.remaining === 0) this.#end(operation, errno);
      else {
        this.#waiting.push(operation);
        this.#isRunnable = true;
      }
    }
  }

  /** Caller is counted in. */
  #start(operation: Operation, backend: Backend): boolean {
    const { change, token } = operation;
    const pace = this.#paceOf(backend);
    const wanted = Math.min(change.remaining, pace.size.bytes);
    change.since = performance.now();
    change.piece = startChange(backend, token, change, wanted);
    pace.isBusy = change.piece > 0;
    return pace.isBusy;
  }

  /** What can't be started any more: the device stands on something else by now. Caller is counted in. */
  #inPlace({ change, fua }: Operation, backend: Backend): Errno {
    const piece = Math.min(change.remaining, CHANGE_BYTES);
    const errno = changeRange(backend, change, piece);
    change.took(piece);
    return errno === 0 && fua && change.remaining === 0 ? backend.flush() : errno;
  }

  #end(operation: Operation, errno: Errno): void {
    operation.errno = errno;
    this.onEnd(operation);
  }

  #paceOf(backend: Backend): Pace {
    let pace = this.#paces.get(backend);
    if (pace === undefined) {
      pace = { isBusy: false, size: new PieceSize() };
      this.#paces.set(backend, pace);
    }
    return pace;
  }
}
