/** Which numbers are no device's and yet not to be had, and why. */

import { LoopError } from '../errno.js';

export interface NumbersInUse {
  /** There is a device of this number. */
  readonly isDevice: (number: number) => boolean;
  /** Somebody else has /dev/nbdN. */
  readonly isTaken: (number: number) => boolean;
}

/** Reasons are in a user's words, without the number. */
export class DeviceNumbers {
  readonly #inUse: NumbersInUse;
  /** Of devices that are to come back. */
  readonly #reserved = new Map<number, string>();
  /** Of devices that are none of ours: of other hosts. */
  readonly #lent = new Map<number, string>();

  constructor(inUse: NumbersInUse) {
    this.#inUse = inUse;
  }

  isTaken(number: number): boolean {
    return this.#inUse.isTaken(number);
  }

  /** Why a number can't be had; undefined where it is not kept from anybody. */
  keptFor(number: number): string | undefined {
    return this.#reserved.get(number) ?? this.#lent.get(number);
  }

  /** That nobody has: no device of ours or of others, and nothing that is to come back. */
  lowestFree(): number {
    let number = 0;
    while (this.#inUse.isDevice(number) || this.keptFor(number) !== undefined || this.isTaken(number))
      number++;
    return number;
  }

  reserve(number: number, reason: string): void {
    this.#reserved.set(number, reason);
  }

  /** Returns what it was reserved for; undefined where it was not. */
  release(number: number): string | undefined {
    const reason = this.#reserved.get(number);
    this.#reserved.delete(number);
    return reason;
  }

  get lowestReserved(): number | undefined {
    return this.#reserved.size === 0 ? undefined : Math.min(...this.#reserved.keys());
  }

  /** Throws EBUSY where the number is in use. */
  lend(reason: (number: number) => string, wanted?: number): number {
    const number = wanted ?? this.lowestFree();
    if (wanted !== undefined && (this.#inUse.isDevice(wanted) || this.keptFor(wanted) !== undefined)) {
      throw new LoopError('EBUSY', `The number ${wanted} is in use.`);
    }
    this.#lent.set(number, reason(number));
    return number;
  }

  takeBack(number: number): void {
    this.#lent.delete(number);
  }
}
