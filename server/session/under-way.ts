import type { Backend } from '../backend.js';
import type { Ranged } from '../wire/kept.js';
import type { Operation, Owner } from './operation.js';
import { MAX_PER_CONNECTION, type Operations } from './operations.js';
import { WholeOperation } from './whole-operation.js';
import { WholeRequests } from './whole-requests.js';

/** The operations of a thread, and who is told when one of a session is done. */
export interface Deferral {
  readonly operations: Operations;
  readonly owner: Owner;
}

/** The operations one connection has under way. */
export class UnderWay {
  /** Those that are handed over whole; absent where nobody could be told that one is done. */
  readonly whole: WholeRequests | undefined;
  #started = 0;

  /** `owner`: who is told of requests that are handed over whole. */
  constructor(
    private readonly backend: Backend,
    private readonly deferral: Deferral | undefined,
    owner: Owner | undefined = deferral?.owner,
  ) {
    this.whole = owner && new WholeRequests(backend, this, owner);
  }

  /** Of both kinds. */
  get count(): number {
    return this.#started + (this.whole?.count ?? 0);
  }

  /** Nothing more may be started. */
  get isFull(): boolean {
    return this.#started >= MAX_PER_CONNECTION;
  }

  /** An operation for this request, to be started; undefined where it must be done in place. */
  take(request: Ranged, bytes: number): Operation | undefined {
    const operation = this.deferral?.operations.take(request, bytes);
    if (operation === undefined) return undefined;
    operation.backend = this.backend;
    operation.owner = this.deferral?.owner;
    this.#started++;
    return operation;
  }

  /**
   * Has an operation change its range piece by piece. Caller is counted in, which this takes over where it is true; false
   * where it must be done in place.
   */
  change(operation: Operation): boolean {
    return this.deferral?.operations.changes.begin(operation, this.backend) ?? false;
  }

  /** A transfer was started. (A flush may be handed over at the turn's end: a thread of the kernel's waits for it.) */
  handOver(): void {
    this.deferral?.operations.handOver();
  }

  /** An operation that was answered, or never started. */
  give(operation: Operation): void {
    if (operation instanceof WholeOperation) {
      this.whole?.give(operation);
      return;
    }
    this.#started--;
    this.deferral?.operations.give(operation);
  }
}
