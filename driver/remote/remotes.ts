/** Devices of other hosts: which numbers they have, how they are attached, found again and let go. */

import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { LoopError } from '../errno.js';
import { startHelper } from '../helper/helper.js';
import type { Obstacle, PartedDevice } from '../kernel/attach.js';
import { isConnected, nodePath } from '../kernel/sysfs.js';
import { dial } from './dial.js';
import type { RemoteHost } from './kernel-side.js';
import type { RemoteRecord, RemoteWish } from './record.js';
import { RemoteDevice, type RemoteSnapshot } from './remote-device.js';
import { parseUri } from './uri.js';

/** Seconds; a request may take for ever. */
const DEFAULT_TIMEOUT = 0;
/** Seconds; what initiators of iSCSI wait, too. */
const DEFAULT_DEAD_TIMEOUT = 120;
/** Let go of by the kernel without a word: that is looked at so often, milliseconds. */
const LOOK_MS = 5000;

export type RemoteOptions = Partial<Omit<RemoteWish, 'uris'>>;

/** Where the numbers come from: no other device gets one that is taken. */
export interface Numbers {
  /** The lowest one that no device has, kept from all others from then on; `reason` is told to those who ask for it. */
  take(reason: (number: number) => string): number;
  /** Throws EBUSY where it is another's. */
  keep(number: number, reason: string): void;
  giveBack(number: number): void;
}

export interface RemotesParts {
  readonly host: RemoteHost;
  readonly numbers: Numbers;
  /** Why nothing can be attached here. */
  readonly obstacle: () => Promise<Obstacle | null>;
  /** Writes a record down, or (null) that there is none any more. Rejects when that can't be written. */
  readonly note: (number: number, record: RemoteRecord | null) => Promise<void>;
}

export interface RemoteEvents {
  /** A state was reached; null: it is gone. */
  change: [number: number, snapshot: RemoteSnapshot | null];
}

export class Remotes {
  readonly events = new EventEmitter<RemoteEvents>();
  readonly #devices = new Map<number, RemoteDevice>();
  readonly #busy = new Set<number>();
  readonly #timer: NodeJS.Timeout;

  constructor(readonly parts: RemotesParts) {
    this.events.setMaxListeners(0);
    parts.host.link.events.on('linkDead', (number) => this.#devices.get(number)?.lostLink());
    this.#timer = setInterval(() => this.#sweep(), LOOK_MS).unref();
  }

  list(): RemoteSnapshot[] {
    this.#sweep();
    return [...this.#devices.values()]
      .map((device) => device.snapshot())
      .sort((a, b) => a.record.number - b.record.number);
  }

  has(number: number): boolean {
    return this.#devices.has(number);
  }

  /** Throws ENODEV. */
  get(number: number): RemoteSnapshot {
    this.#sweep();
    return this.#of(number).snapshot();
  }

  /**
   * Makes /dev/nbdN of an export, with the first of its addresses that has it. Throws EINVAL for what is no URI, EPERM, ENODEV
   * and ENOENT where this machine can't, and what is wrong with the addresses.
   */
  async attach(uris: readonly string[], options: RemoteOptions = {}): Promise<RemoteSnapshot> {
    const addresses = uris.map(parseUri);
    if (addresses.length === 0) throw new LoopError('EINVAL', 'no URI is given');
    const wish: RemoteWish = {
      uris,
      connections: options.connections ?? 1,
      timeout: options.timeout ?? DEFAULT_TIMEOUT,
      deadTimeout: options.deadTimeout ?? DEFAULT_DEAD_TIMEOUT,
      readOnly: options.readOnly ?? false,
      tls: options.tls ?? {},
    };
    const obstacle = await this.parts.obstacle();
    if (obstacle !== null) throw new LoopError(obstacle.errno, obstacle.message);
    startHelper();
    const { signal } = new AbortController();
    const dialled = await dial({ ...wish, addresses, first: 0, meant: undefined, signal });
    const { at, facts, links } = dialled;
    const number = this.parts.numbers.take((one) => reasonOf(one, uris));
    this.#busy.add(number);
    try {
      const record: RemoteRecord = { ...wish, number, id: randomUUID(), facts, at, attachAgain: false };
      const device = this.#device(record);
      await this.parts.note(number, record);
      this.#devices.set(number, device);
      await device.begin({ links });
      return device.snapshot();
    } catch (error) {
      for (const link of links) link.end();
      await this.#forget(number);
      throw error;
    } finally {
      this.#busy.delete(number);
    }
  }

  /** Throws ENODEV; EBUSY while somebody uses the node, unless `force`. */
  async detach(number: number, options: { readonly force?: boolean } = {}): Promise<void> {
    const device = this.#of(number);
    const { kernel } = device;
    if (this.#busy.has(number)) throw new LoopError('EBUSY', `${kernel.node} is being attached or detached`);
    this.#busy.add(number);
    try {
      if (kernel.isThere) {
        if (options.force === true) {
          device.leave();
          await kernel.endByForce();
        } else if (!(await kernel.endUnused())) {
          const users = await kernel.users();
          throw new LoopError('EBUSY', `${kernel.node} is in use (${users}); use force to disconnect it`);
        }
      }
      await this.#forget(number);
    } finally {
      this.#busy.delete(number);
    }
  }

  /** From here on no other device gets the numbers of these. */
  expect(records: readonly RemoteRecord[]): void {
    for (const { number, uris } of records) this.parts.numbers.keep(number, reasonOf(number, uris));
  }

  /** Takes up what a daemon before this one left; `descriptors` are the sockets that it handed over. */
  takeUp(record: RemoteRecord, descriptors: readonly number[]): void {
    const device = this.#device(record);
    this.#devices.set(record.number, device);
    startHelper();
    if (device.kernel.isThere) device.resume(descriptors);
    else if (record.attachAgain && !isConnected(record.number)) device.attachAgain();
    else void this.#forget(record.number);
  }

  /**
   * Ends: what nobody uses is taken out of the kernel, for the next daemon to attach it again, or for good with `forget`.
   * What is in use stays.
   */
  async close(options: { readonly forget: boolean }): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(
      [...this.#devices.values()].map(async (device) => {
        const { kernel } = device;
        const isOut = !kernel.isThere || (await kernel.endUnused(0).catch(() => false));
        device.leave();
        if (!isOut) return;
        const record = { ...kernel.record, attachAgain: true };
        await this.parts.note(kernel.record.number, options.forget ? null : record).catch(() => undefined);
      }),
    );
  }

  /** Ends as well: every device stays, and sockets are given up for a daemon that comes at once. */
  part(): PartedDevice[] {
    clearInterval(this.#timer);
    return [...this.#devices.values()].map((device) => ({
      device: device.number,
      sockets: device.part().map((fd) => ({ fd, leftover: new Uint8Array(0) })),
    }));
  }

  #device(record: RemoteRecord): RemoteDevice {
    return new RemoteDevice(record, {
      host: this.parts.host,
      onChange: (device) => {
        if (this.#devices.get(device.number) === device) {
          this.events.emit('change', device.number, device.snapshot());
        }
      },
      onRecord: (changed) => void this.parts.note(changed.number, changed).catch(() => undefined),
      onGone: (device) => {
        if (!this.#busy.has(device.number)) void this.#forget(device.number);
      },
    });
  }

  /** Whoever told the kernel to let go of a device: it is gone. */
  #sweep(): void {
    for (const [number, device] of this.#devices) {
      const { isInKernel, state } = device.snapshot();
      const wasThere = state === 'attached' || state === 'given-up';
      if (wasThere && !isInKernel && !this.#busy.has(number)) void this.#forget(number);
    }
  }

  async #forget(number: number): Promise<void> {
    const device = this.#devices.get(number);
    this.#devices.delete(number);
    device?.leave();
    this.parts.numbers.giveBack(number);
    if (device !== undefined) this.events.emit('change', number, null);
    await this.parts.note(number, null).catch((err: unknown) => {
      this.parts.host.log.error({ err, node: nodePath(number) }, 'the detachment was not recorded');
    });
  }

  #of(number: number): RemoteDevice {
    const device = this.#devices.get(number);
    if (device === undefined)
      throw new LoopError('ENODEV', `${nodePath(number)} is no device of another host`);
    return device;
  }
}

const reasonOf = (number: number, [uri]: readonly string[]): string =>
  `${nodePath(number)} is ${uri}, attached by its URI.`;
