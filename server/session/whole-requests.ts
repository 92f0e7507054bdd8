import { constants } from 'node:os';
import type { Backend, Errno } from '../backend.js';
import { Buffers } from '../system/buffers.js';
import type { Ranged } from '../wire/kept.js';
import type { Request } from '../wire/request.js';
import type { Operation, Owner } from './operation.js';
import { WholeOperation, wholeName } from './whole-operation.js';

const { EINVAL, ENOSPC } = constants.errno;

/** What is started is started as an operation of the thread's. */
export interface Carriers {
  readonly isFull: boolean;
  take(request: Ranged, bytes: number): Operation | undefined;
  give(operation: Operation): void;
  handOver(): void;
}

/** What one connection may have waiting: as many requests as a kernel sends, and so many bytes of data. */
const MAX_WAITING = 128;
const MAX_BYTES = 64 << 20;

/**
 * The requests of a connection that are handed over whole, and wait, or were started. A request that waits is not counted in: a
 * freeze does not wait for it, and what it meets when it goes on is what there is then. It waits without a thread.
 */
export class WholeRequests {
  /** In the order in which they came. */
  #waiting: WholeOperation[] = [];
  /** Taken and not given back. */
  #count = 0;
  #buffers = new Buffers(MAX_BYTES);
  /** The device was frozen when one was to go on: none does before a wake. */
  #isFrozen = false;

  constructor(
    private readonly backend: Backend,
    private readonly carriers: Carriers,
    private readonly owner: Owner,
  ) {}

  get count(): number {
    return this.#count;
  }

  /** One for this request, with memory for its data. Undefined while there are too many. */
  take(request: Request): WholeOperation | undefined {
    if (this.#count >= MAX_WAITING) return undefined;
    const name = wholeName(request.type);
    if (name === undefined) return undefined;
    const bytes = name === 'read' || name === 'write' ? request.length : 0;
    const memory = bytes === 0 ? undefined : this.#buffers.take(bytes);
    if (bytes > 0 && memory === undefined) return undefined;
    const operation = new WholeOperation(request, name, memory);
    operation.backend = this.backend;
    this.#count++;
    return operation;
  }

  /** One that was answered, or never will be. */
  give(operation: WholeOperation): void {
    if (operation.memory !== undefined) this.#buffers.give(operation.memory);
    operation.memory = operation.backend = undefined;
    // What was large for a while does not stay.
    if (--this.#count === 0) this.#buffers = new Buffers(MAX_BYTES);
  }

  /** Whether the range may be asked for at all. Caller is counted in. */
  admit({ operation, offset, length }: Pick<WholeOperation, 'operation' | 'offset' | 'length'>): Errno {
    if (operation === 'flush') return 0;
    if (operation === 'read') return this.backend.admit('read', offset, length);
    const errno = this.backend.admit('write', offset, length);
    // A TRIM needs no space: past the end it is as wrong as a READ ("Error values").
    return operation === 'trim' && errno === ENOSPC ? EINVAL : errno;
  }

  /** A request with all of its data: it is done, is started, or waits. Its owner is told when it is done. */
  begin(operation: WholeOperation): void {
    if (!this.#goOn(operation)) this.#waiting.push(operation);
  }

  /** When the next one may go on, milliseconds of `performance.now()`; Infinity: not before a wake. */
  get due(): number {
    if (this.#waiting.length === 0 || this.#isFrozen) return Number.POSITIVE_INFINITY;
    return this.#waiting.reduce((first, { due }) => Math.min(first, due), Number.POSITIVE_INFINITY);
  }

  /** How many wait for the device to let go of them. */
  get held(): number {
    return this.#waiting.filter(({ due }) => due === Number.POSITIVE_INFINITY).length;
  }

  /** Goes on with what is due, in the order of their times. */
  resume(now: number): void {
    if (this.#isFrozen || this.#waiting.length === 0) return;
    const due = this.#waiting.filter((operation) => operation.due <= now).sort((a, b) => a.due - b.due);
    for (const operation of due) {
      if (this.#isFrozen) return;
      if (this.#goOn(operation)) this.#waiting.splice(this.#waiting.indexOf(operation), 1);
    }
  }

  /** The device may have thawed, or what it holds may have been released: all of them are looked at again. */
  wake(): void {
    this.#isFrozen = false;
    for (const operation of this.#waiting) operation.due = 0;
  }

  /** The peer says no more: nobody waits for what may never end. It is not carried out. */
  dropHeld(): void {
    this.#drop(({ due }) => due === Number.POSITIVE_INFINITY);
  }

  /** The connection is over: nothing that waits is carried out. */
  dropAll(): void {
    this.#drop(() => true);
  }

  #drop(isMeant: (operation: WholeOperation) => boolean): void {
    const dropped = this.#waiting.filter(isMeant);
    this.#waiting = this.#waiting.filter((operation) => !dropped.includes(operation));
    for (const operation of dropped) {
      this.backend.forget?.(operation);
      this.give(operation);
    }
  }

  /** True when it waits no longer. */
  #goOn(operation: WholeOperation): boolean {
    const { backend } = this;
    if (!backend.enter()) {
      this.#isFrozen = true;
      return false;
    }
    const refusal = this.admit(operation);
    if (refusal === 0 && backend.mayGoOn?.(operation) === false) {
      backend.exit();
      return false;
    }
    const carrier = refusal === 0 ? this.#carrier(operation) : undefined;
    const result = refusal || (backend.carryOut?.(operation, carrier?.token ?? -1) ?? EINVAL);
    if (result === 'started' || result === 'started, to flush') {
      if (carrier !== undefined) carrier.fua = result === 'started, to flush';
      this.carriers.handOver();
      return true;
    }
    if (carrier !== undefined) this.carriers.give(carrier);
    backend.exit();
    if (result === 'again') {
      operation.due = 0;
      return false;
    }
    this.#end(operation, result);
    return true;
  }

  /** What can be started is started under another's token: one that waits needs none. */
  #carrier(operation: WholeOperation): Operation | undefined {
    if (this.carriers.isFull) return undefined;
    const carrier = this.carriers.take(operation, 0);
    if (carrier === undefined) return undefined;
    carrier.owner = {
      isGone: this.owner.isGone,
      done: ({ errno }) => {
        this.carriers.give(carrier);
        this.#end(operation, errno);
      },
    };
    return carrier;
  }

  #end(operation: WholeOperation, errno: Errno): void {
    this.backend.forget?.(operation);
    operation.errno = errno;
    this.owner.done(operation);
  }
}
