/**
 * Autoclear for a device in the kernel: it is let go when its last user closes it, but not before its user has come.
 * Probers (udev, blkid, the first close of mkfs) are no users: they do not stay.
 */

import { hasLastingUser, isUsed } from './node.js';
import { isConnected } from './sysfs.js';

/** Most users come without a word: they are looked for this often, milliseconds. */
const LOOK_MS = 1000;

export interface LastCloseOptions {
  /**
   * Leaves the end to the kernel: it lets go at the last close, which is at once when nobody has the device open. False
   * where the way of attaching can't.
   */
  readonly leave: (device: number) => Promise<boolean>;
  /** The kernel keeps the device whoever closes it. */
  readonly keep: (device: number) => Promise<void>;
  /** Takes a device that nobody uses out of the kernel. */
  readonly detach: (device: number) => Promise<void>;
  readonly onError: (device: number, error: unknown) => void;
}

/** 'user': waits for one. 'idle': waits until the last one is gone, and detaches then. */
type Watch = 'user' | 'idle';

export class LastClose {
  readonly #watches = new Map<number, Watch>();
  readonly #looking = new Map<number, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(readonly options: LastCloseOptions) {}

  /** Whoever has the device open now is its user; else one is waited for. Then the last close ends the attachment. */
  async arm(device: number): Promise<void> {
    if (await isUsed(device)) await this.hand(device);
    else this.#watch(device, 'user');
  }

  /** As `arm` for a device that has just come into being: who opens it now is a prober. */
  async expect(device: number): Promise<void> {
    this.#watch(device, 'user');
    await this.#lookAt(device, 'user');
  }

  /** The last close ends the attachment, whoever's it is; at once when nobody has the device open. */
  async hand(device: number): Promise<void> {
    this.forget(device);
    if (await this.options.leave(device)) return;
    this.#watch(device, 'idle');
    await this.#lookAt(device, 'idle');
  }

  /** The kernel keeps the device whoever closes it. */
  async disarm(device: number): Promise<void> {
    this.forget(device);
    await this.options.keep(device);
  }

  forget(device: number): void {
    this.#watches.delete(device);
  }

  /** Something may have changed: a mount, an unmount. One look at a time for each device, however long it takes. */
  look(): void {
    for (const [device, watch] of this.#watches) {
      if (this.#looking.has(device)) continue;
      const look = this.#lookAt(device, watch)
        .catch((error: unknown) => this.options.onError(device, error))
        .finally(() => this.#looking.delete(device));
      this.#looking.set(device, look);
    }
    this.#schedule();
  }

  close(): void {
    this.#watches.clear();
    clearTimeout(this.#timer);
  }

  #watch(device: number, watch: Watch): void {
    this.#watches.set(device, watch);
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#watches.size > 0) this.#timer = setTimeout(() => this.look(), LOOK_MS).unref();
  }

  async #lookAt(device: number, watch: Watch): Promise<void> {
    if (!isConnected(device)) return this.forget(device);
    if (watch === 'user') {
      if ((await hasLastingUser(device)) && this.#watches.get(device) === watch) await this.hand(device);
    } else if (!(await isUsed(device)) && this.#watches.get(device) === watch) {
      this.forget(device);
      await this.options.detach(device);
    }
  }
}
