/**
 * Autoclear for a device in the kernel: it is let go when its last user closes it, but not before its user has
 * come. Probers (udev, blkid, the first close of mkfs) are no users. Nothing here opens a device.
 */

import { inUse, lastingUsersOf } from './sysfs.js';

/** Holders and swaps come without a word: they are looked for this often, milliseconds. */
const LOOK_MS = 1000;

export interface LastCloseOptions {
  /** Makes the kernel let go at the last close. False where the way of attaching can't. */
  readonly disconnectOnClose: (device: number, on: boolean) => Promise<boolean>;
  readonly detach: (device: number) => Promise<void>;
  readonly onError: (device: number, error: unknown) => void;
}

/** 'user': waits for one. 'idle': waits until the last one is gone, and detaches then. */
type Watch = 'user' | 'idle';

export class LastClose {
  readonly #watches = new Map<number, Watch>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;

  constructor(readonly options: LastCloseOptions) {}

  /** Whoever uses the device now is its user; else one is waited for. Then the last close ends the attachment. */
  async arm(device: number): Promise<void> {
    if (await inUse(device)) await this.#hand(device);
    else this.#watch(device, 'user');
  }

  /** As `arm` for a device that has just come into being: who opens it now is a prober. */
  async expect(device: number): Promise<void> {
    this.#watch(device, 'user');
    await this.#lookAt(device, 'user');
  }

  /** The kernel keeps the device whoever closes it. */
  async disarm(device: number): Promise<void> {
    this.forget(device);
    await this.options.disconnectOnClose(device, false);
  }

  forget(device: number): void {
    this.#watches.delete(device);
  }

  /** Something may have changed: a mount, an unmount. */
  look(): void {
    this.#looking ??= this.#lookAtAll().finally(() => {
      this.#looking = undefined;
      this.#schedule();
    });
  }

  close(): void {
    this.#watches.clear();
    clearTimeout(this.#timer);
  }

  /** Leaves the end to the kernel. A user that left before the kernel knew has left it to us. */
  async #hand(device: number): Promise<void> {
    this.forget(device);
    if (!(await this.options.disconnectOnClose(device, true))) this.#watch(device, 'idle');
    else if (!(await inUse(device))) await this.options.detach(device);
  }

  #watch(device: number, watch: Watch): void {
    this.#watches.set(device, watch);
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#watches.size > 0) this.#timer = setTimeout(() => this.look(), LOOK_MS).unref();
  }

  async #lookAtAll(): Promise<void> {
    for (const [device, watch] of [...this.#watches]) {
      await this.#lookAt(device, watch).catch((error: unknown) => this.options.onError(device, error));
    }
  }

  async #lookAt(device: number, watch: Watch): Promise<void> {
    if (watch === 'user') {
      if ((await lastingUsersOf(device)).length > 0) await this.#hand(device);
    } else if (!(await inUse(device))) {
      this.forget(device);
      await this.options.detach(device);
    }
  }
}
