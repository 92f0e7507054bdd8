/** The devices that there are, by number: it changes with ctlMutex held, and no other lock is ever taken under that. */
import { LoopError } from '../errno.js';
import type { LockOrder } from '../locks/lock-order.js';
import { OrderedMutex } from '../locks/mutex.js';
import type { DeviceNumbers } from './device-numbers.js';
import { LoopCore, type LoopHost } from './loop-core.js';
import { LoopDevice } from './loop-device.js';

/** A device, and what the registry alone knows of it. */
export interface Entry {
  readonly core: LoopCore;
  readonly device: LoopDevice;
  /** Taken by a find-and-configure that is under way. */
  claimed: boolean;
}

export class DeviceTable {
  readonly #entries = new Map<number, Entry>();
  /** The same by number; made when it is asked for. */
  #sorted: readonly Entry[] | undefined;

  readonly #ctlMutex: OrderedMutex;

  constructor(
    order: LockOrder,
    private readonly numbers: DeviceNumbers,
  ) {
    this.#ctlMutex = new OrderedMutex(order, 'ctlMutex', 'loop-control');
  }

  /** In one step for all others. */
  async change<T>(work: () => T): Promise<T> {
    const held = await this.#ctlMutex.acquire();
    try {
      return work();
    } finally {
      held.release();
    }
  }

  has(number: number): boolean {
    return this.#entries.has(number);
  }

  get(number: number): Entry | undefined {
    return this.#entries.get(number);
  }

  delete(number: number): void {
    this.#sorted = undefined;
    this.#entries.delete(number);
  }

  /** Of this number, or (-1) of the lowest that is not in use. Throws EBUSY, EEXIST. Caller holds ctlMutex. */
  add(wanted: number, host: LoopHost): Entry {
    const number = wanted < 0 ? this.numbers.lowestFree() : wanted;
    const reason = this.numbers.keptFor(number);
    if (reason !== undefined) throw new LoopError('EBUSY', `loop${number} can't be had: ${reason}`);
    if (this.#entries.has(number)) throw new LoopError('EEXIST', `The device loop${number} exists already.`);
    const core = new LoopCore(number, host);
    const entry = { core, device: new LoopDevice(core), claimed: false };
    this.#sorted = undefined;
    this.#entries.set(number, entry);
    return entry;
  }

  noSuchDevice(number: number): LoopError {
    const reason = this.numbers.keptFor(number);
    const message = reason === undefined ? `There is no device loop${number}.` : `loop${number}: ${reason}`;
    return new LoopError('ENODEV', message);
  }

  sorted(): readonly Entry[] {
    this.#sorted ??= [...this.#entries.values()].sort((a, b) => a.core.number - b.core.number);
    return this.#sorted;
  }
}
