/**
 * Loop devices as they were before March 2022, for the validator to catch: only their locks are real.
 *
 * They exist nowhere but here. docs/lock-order.md tells what is wrong with them.
 */
import type { LockOrder } from '../../driver/locks/lock-order.js';
import { OrderedMutex } from '../../driver/locks/mutex.js';
import { RequestQueue } from '../../driver/queue/request-queue.js';

/** What the scenario asks of a device. */
export interface ScenarioDevice {
  readonly queue: RequestQueue;
  /** An in-kernel opener: the resume of a hibernated machine. */
  open(): Promise<void>;
  release(): Promise<void>;
  /** A direct I/O toggle: it freezes under loMutex. */
  toggle(): Promise<void>;
}

abstract class PreFixDevice implements ScenarioDevice {
  protected readonly openMutex: OrderedMutex;
  protected readonly loMutex: OrderedMutex;
  readonly queue: RequestQueue;
  protected openers = 0;

  constructor(order: LockOrder, name: string) {
    this.openMutex = new OrderedMutex(order, 'openMutex', name);
    this.loMutex = new OrderedMutex(order, 'loMutex', name);
    this.queue = new RequestQueue({ order, name, onThaw: () => {} });
  }

  abstract open(): Promise<void>;
  abstract release(): Promise<void>;

  async toggle(): Promise<void> {
    using _lo = await this.loMutex.acquire();
    await using _frozen = await this.queue.freeze();
  }
}

/** Open and release count under lo_mutex, and they are called with open_mutex held. */
export class CountsUnderLoMutex extends PreFixDevice {
  open(): Promise<void> {
    return this.#count(1);
  }

  release(): Promise<void> {
    return this.#count(-1);
  }

  async #count(change: number): Promise<void> {
    using _open = await this.openMutex.acquire();
    using _lo = await this.loMutex.acquire();
    this.openers += change;
  }
}

/** The last close runs the rundown (`__loop_clr_fd`) while open_mutex is held. */
export class RundownUnderOpenMutex extends PreFixDevice {
  readonly #validateMutex: OrderedMutex;

  constructor(order: LockOrder, name: string) {
    super(order, name);
    this.#validateMutex = new OrderedMutex(order, 'validateMutex', 'loop-control');
  }

  async open(): Promise<void> {
    using _open = await this.openMutex.acquire();
    this.openers++;
  }

  async release(): Promise<void> {
    using _open = await this.openMutex.acquire();
    this.openers--;
    if (this.openers === 0) await this.#rundown();
  }

  async #rundown(): Promise<void> {
    using _validate = await this.#validateMutex.acquire();
    using _lo = await this.loMutex.acquire();
    await using _frozen = await this.queue.freeze();
  }
}
