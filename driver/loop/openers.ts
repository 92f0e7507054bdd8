import type { LockOrder } from '../locks/lock-order.js';
import { OrderedMutex } from '../locks/mutex.js';

/**
 * The count of those who have a device open, guarded by openMutex (the kernel's disk->open_mutex).
 *
 * Nothing here waits for I/O, takes another lock or freezes: that is the fix this project is built from. What a
 * last close causes is its caller's business, after openMutex is dropped.
 */
export class Openers {
  readonly #mutex: OrderedMutex;
  #count = 0;

  constructor(order: LockOrder, name: string) {
    this.#mutex = new OrderedMutex(order, 'openMutex', name);
  }

  get count(): number {
    return this.#count;
  }

  /** Counts one in, unless `check` throws. Both happen in one step. */
  async open(check: () => void): Promise<void> {
    using _held = await this.#mutex.acquire();
    check();
    this.#count++;
  }

  /** Counts one out. `then` runs in the same step, told whether it was the last; its result is returned. */
  async close<T>(then: (last: boolean) => T): Promise<T> {
    using _held = await this.#mutex.acquire();
    if (this.#count === 0) throw new Error('A close without an open.');
    this.#count--;
    return then(this.#count === 0);
  }
}
