import { performance } from 'node:perf_hooks';
import type { Backend, Completions, Errno } from '../backend.js';
import { Buffers } from '../system/buffers.js';
import type { Ranged } from '../wire/kept.js';
import { Changes } from './changes.js';
import { Operation } from './operation.js';

/** What carries operations out. */
export type Carrier = Pick<Completions, 'limit' | 'submit'>;

/** Most bytes a single operation may carry; what is longer is done in place. */
export const MAX_OPERATION = 1 << 20;
/** Most operations one connection may have under way: it then waits for its own. */
export const MAX_PER_CONNECTION = 64;

/** The operations of a thread, and the memory they use. */
export class Operations {
  readonly #all: Operation[];
  readonly #idle: Operation[];
  readonly #buffers = new Buffers();
  readonly #carrier: Carrier;
  readonly changes = new Changes((operation) => operation.owner?.done(operation));

  constructor(carrier: Carrier) {
    this.#carrier = carrier;
    this.#all = Array.from({ length: carrier.limit }, (_, token) => new Operation(token));
    this.#idle = [...this.#all];
  }

  get underWay(): number {
    return this.#all.length - this.#idle.length;
  }

  at(token: number): Operation | undefined {
    return this.#all[token];
  }

  /** One for this request, with memory for `bytes` of data. Undefined when there is none left. */
  take(request: Ranged, bytes: number): Operation | undefined {
    if (bytes > MAX_OPERATION) return undefined;
    const operation = this.#idle.pop();
    if (operation === undefined) return undefined;
    if (bytes > 0) {
      operation.memory = this.#buffers.take(bytes);
      if (operation.memory === undefined) {
        this.#idle.push(operation);
        return undefined;
      }
    }
    operation.keep(request);
    operation.errno = 0;
    operation.since = performance.now();
    operation.isRead = operation.isChange = operation.fua = operation.silent = false;
    return operation;
  }

  give(operation: Operation): void {
    if (operation.memory !== undefined) this.#buffers.give(operation.memory);
    operation.memory = operation.backend = operation.owner = undefined;
    this.#idle.push(operation);
  }

  /**
   * Hands over what was started, before the turn is over: a disk is at work on it while the next request is looked
   * at. What the kernel has no memory for is left to the reactor, which tries again.
   */
  handOver(): void {
    this.#carrier.submit();
  }

  /** An operation's part is done. With FUA a flush follows; else it is counted out and its owner told. */
  done(token: number, errno: Errno): void {
    const operation = this.#all[token];
    if (operation?.backend === undefined) return;
    if (operation.isChange && this.#pieceEnded(operation, operation.backend, errno)) return;
    if (errno === 0 && operation.fua) {
      operation.fua = false;
      if (operation.backend.startFlush(token)) return;
      errno = operation.backend.flush();
    }
    operation.errno = operation.backend.finished(errno);
    operation.owner?.done(operation);
  }

  /** True when there is more of it to come. */
  #pieceEnded(operation: Operation, backend: Backend, errno: Errno): boolean {
    if (this.changes.pieceEnded(operation, backend, errno)) return true;
    operation.isChange = false; // a flush may follow
    return false;
  }
}
