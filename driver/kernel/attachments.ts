/** Which devices are attached to the kernel, by which way; one operation at a time for each device. */

import { LoopError } from '../errno.js';
import { startHelper } from '../helper/helper.js';
import type { Attacher, PartedDevice, PartedSocket } from './attach.js';
import {
  type AttachableDevice,
  type AttachOptions,
  type AttachRecord,
  recordOf,
  targetOf,
} from './attach-record.js';
import { cutOff, endUnused, leaveToLastClose, PROBER_MS } from './ending.js';
import { LastClose } from './last-close.js';
import { isClaimed, isUsed, partitionsOf, usersPhrase } from './node.js';
import { firstPartitions, settlePartitions } from './partitions.js';
import { isConnected, nodePath } from './sysfs.js';

export interface AttachmentsOptions {
  /** The first that works here is the default. */
  readonly attachers: readonly Attacher[];
  readonly describe: (device: number) => Promise<AttachableDevice>;
  /**
   * Writes down, for a daemon that comes after this one, how a device is about to be attached, or (null) that it is no
   * longer. Rejects when that can't be written.
   */
  readonly record: (device: number, record: AttachRecord | null) => Promise<void>;
  readonly log: {
    info(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
}

/** A device that can't be served yet. */
export interface LateDevice {
  readonly described: AttachableDevice;
  readonly after: Promise<unknown>;
}

interface Attached {
  readonly attacher: Attacher;
  readonly record: AttachRecord;
  /** Its last close is to end it. A device that is down has nobody else who knew. */
  autoclear: boolean;
}

export class Attachments {
  readonly #attached = new Map<number, Attached>();
  readonly #busy = new Set<number>();
  readonly #lastClose: LastClose;

  constructor(readonly options: AttachmentsOptions) {
    this.#lastClose = new LastClose({
      leave: async (device) => {
        const attached = this.#attached.get(device);
        return attached === undefined || leaveToLastClose(device, attached);
      },
      keep: async (device) => void (await this.#of(device).attacher.disconnectOnClose(device, false)),
      detach: (device) => this.detach(device),
      onError: (device, err) => options.log.error({ err, device }, 'autoclear: the kernel side failed'),
    });
  }

  /** `/dev/nbdN`; null as soon as the kernel has let go, whoever made it. */
  node(device: number): string | null {
    if (!this.#attached.has(device)) return null;
    if (this.#busy.has(device) || isConnected(device)) return nodePath(device);
    this.#forget(device);
    return null;
  }

  /** How a device is attached, or undefined. */
  record(device: number): AttachRecord | undefined {
    return this.node(device) === null ? undefined : this.#attached.get(device)?.record;
  }

  /** Returns the node. EBUSY when attached already, by whomever. */
  async attach(device: number, options: AttachOptions): Promise<string> {
    return this.#alone(device, async () => {
      const attacher = await this.#choose(device, options.by);
      const node = nodePath(device);
      if (isConnected(device)) {
        const whose = this.#attached.has(device) ? 'attached already' : 'in use by another NBD client';
        throw new LoopError('EBUSY', `loop${device}: ${node} is ${whose}`);
      }
      const record = recordOf(attacher.method, options);
      startHelper();
      const described = await this.options.describe(device);
      const wanted = targetOf(device, record, described);
      await this.options.record(device, record);
      try {
        await attacher.attach(wanted);
      } catch (error) {
        await this.#recordEnd(device);
        throw error;
      }
      this.#attached.set(device, { attacher, record, autoclear: described.autoclear });
      await this.#settle(device, described);
      return node;
    });
  }

  /**
   * Takes up a device that a daemon before this one attached. False when the kernel has let go of it. `late`: what it is, and
   * when it can be served; its last close is not looked for.
   */
  async resume(
    device: number,
    record: AttachRecord,
    sockets: readonly PartedSocket[],
    late?: LateDevice,
  ): Promise<boolean> {
    const attacher = this.options.attachers.find(({ method }) => method === record.by);
    if (attacher === undefined) return false;
    const described = late?.described ?? (await this.options.describe(device));
    if (!(await attacher.resume(targetOf(device, record, described), sockets, late?.after))) return false;
    this.#attached.set(device, { attacher, record, autoclear: described.autoclear });
    if (described.autoclear && late === undefined) void this.#armed(device);
    return true;
  }

  /**
   * Knows a device that a daemon before this one attached and that can't be served: its users wait or get errors, and it
   * can be detached. False when the kernel has let go of it.
   */
  hold(device: number, record: AttachRecord, described: AttachableDevice): boolean {
    const attacher = this.options.attachers.find(({ method }) => method === record.by);
    if (attacher?.hold(targetOf(device, record, described)) !== true) return false;
    this.#attached.set(device, { attacher, record, autoclear: described.autoclear });
    return true;
  }

  /**
   * ENXIO when not attached; EBUSY while somebody uses the node, in whatever way: everything works on then. With `force`
   * at once, from under its users.
   */
  async detach(device: number, options: { force?: boolean } = {}): Promise<void> {
    return this.#alone(device, async () => {
      const { attacher } = this.#of(device);
      if (options.force === true) await attacher.disconnect(device);
      else if (!(await endUnused(device, this.#of(device), PROBER_MS))) {
        const users = await usersPhrase(device);
        throw new LoopError(
          'EBUSY',
          `loop${device}: ${nodePath(device)} is in use (${users}); use force to disconnect it`,
        );
      }
      this.#forget(device);
      await this.#recordEnd(device);
    });
  }

  /**
   * losetup's lazy detach: the kernel lets go when the last of those who have the device open closes it, whoever that
   * is. True when it has let go already, because nobody had.
   */
  async detachAtLastClose(device: number): Promise<boolean> {
    this.#of(device).autoclear = true;
    await this.#lastClose.hand(device);
    if (this.node(device) !== null) return false;
    await this.#recordEnd(device);
    return true;
  }

  /** True while anybody has the node open, in whatever way; who just looks at it for a moment does not count. */
  inUse(device: number): Promise<boolean> {
    return isUsed(device, PROBER_MS);
  }

  /** True while a mount, a device built on it or a program claims the node for itself: it counts on what it has seen of it. */
  isClaimed(device: number): Promise<boolean> {
    return isClaimed(device);
  }

  /** Who that is, to end a sentence with. */
  users(device: number): Promise<string> {
    return usersPhrase(device);
  }

  /** Best effort where the way of attaching cannot tell the kernel: it sees the size at the next attach. */
  async resized(device: number, size: number): Promise<void> {
    const before = await partitionsOf(device);
    await this.#of(device).attacher.resize(device, size);
    await this.#settlePartitions(device, before);
  }

  /** A device that the kernel has kept is bound again, perhaps with another size. */
  async rebound(
    device: number,
    { size, autoclear }: Pick<AttachableDevice, 'size' | 'autoclear'>,
  ): Promise<void> {
    await this.resized(device, size);
    await this.disconnectOnClose(device, autoclear);
  }

  /** One that was late is served. */
  async served(device: number): Promise<void> {
    const { isLimited, autoclear } = await this.options.describe(device);
    await this.limited(device, isLimited);
    if (autoclear) await this.disconnectOnClose(device, true);
  }

  /** The device is about to have limits, or has none any more. */
  async limited(device: number, isLimited: boolean): Promise<void> {
    if (this.node(device) !== null) await this.#of(device).attacher.limited(device, isLimited);
  }

  /** Another file or another part of it is behind the device. Throws EBUSY when its partitions can't be read again. */
  async contentChanged(device: number): Promise<void> {
    if (this.node(device) !== null) await this.#settlePartitions(device, await partitionsOf(device));
  }

  /** Autoclear was set or taken away. False when the device is not attached. */
  async disconnectOnClose(device: number, on: boolean): Promise<boolean> {
    if (this.node(device) === null) return false;
    this.#of(device).autoclear = on;
    if (on) await this.#lastClose.arm(device);
    else await this.#lastClose.disarm(device);
    return true;
  }

  /** The mount table changed. */
  mountsChanged(): void {
    this.#lastClose.look();
  }

  /**
   * Ends: idle devices are detached. Those in use stay for the next daemon; or are taken out as well, with what is mounted
   * from them written back first, where there will be none: their users would wait for a socket that nobody serves.
   */
  async close(inUse: 'stay' | 'cut' = 'stay'): Promise<void> {
    this.#lastClose.close();
    const left = [...this.#attached.keys()].filter((device) => this.node(device) !== null);
    await Promise.all(
      left.map(async (device) => {
        const isGone = await endUnused(device, this.#of(device), 0).catch((err: unknown) => {
          this.options.log.error({ err, device }, 'whether the device is in use was not found out');
          return false;
        });
        if (isGone) this.#forget(device);
        else if (inUse === 'cut') await this.#cut(device);
        else this.options.log.info({ device }, 'the device is in use and stays for the next daemon');
      }),
    );
    for (const attacher of this.options.attachers) attacher.abandon();
  }

  async #cut(device: number): Promise<void> {
    await cutOff(device, this.#of(device), this.options.log);
    this.#forget(device);
  }

  /** Ends as well: every device stays, and its sockets are given up for a daemon that comes at once. */
  async part(): Promise<PartedDevice[]> {
    this.#lastClose.close();
    const parted = await Promise.all(this.options.attachers.map((attacher) => attacher.part()));
    return parted.flat();
  }

  /** What a fresh attachment still needs. Without the partitions that were asked for there is none. */
  async #settle(device: number, { autoclear, partscan }: AttachableDevice): Promise<void> {
    try {
      await firstPartitions(device, partscan, this.options.log);
    } catch (error) {
      if (await endUnused(device, this.#of(device), PROBER_MS).catch(() => false)) {
        this.#forget(device);
        await this.#recordEnd(device);
      }
      throw error;
    }
    if (autoclear) await this.#armed(device);
  }

  async #settlePartitions(device: number, before: readonly number[]): Promise<void> {
    const { partscan } = await this.options.describe(device);
    await settlePartitions(device, { partscan, before }, this.options.log);
  }

  /** Not written, it does no harm: what the kernel has counts. */
  async #recordEnd(device: number): Promise<void> {
    await this.options
      .record(device, null)
      .catch((err: unknown) => this.options.log.error({ err, device }, 'the detachment was not recorded'));
  }

  #armed(device: number): Promise<void> {
    return this.#lastClose
      .expect(device)
      .catch((err: unknown) => this.options.log.error({ err, device }, 'autoclear: the kernel side failed'));
  }

  #forget(device: number): void {
    this.#attached.get(device)?.attacher.forget(device);
    this.#attached.delete(device);
    this.#lastClose.forget(device);
  }

  #of(device: number): Attached {
    const attached = this.#attached.get(device);
    if (attached === undefined) throw new LoopError('ENXIO', `loop${device} is not attached to the kernel`);
    return attached;
  }

  async #choose(device: number, by: Attacher['method'] | undefined): Promise<Attacher> {
    const candidates = this.options.attachers.filter((one) => by === undefined || one.method === by);
    let first: LoopError | undefined;
    for (const attacher of candidates) {
      const obstacle = await attacher.obstacle();
      if (obstacle === null) return attacher;
      first ??= new LoopError(obstacle.errno, `loop${device}: ${obstacle.message}`);
    }
    throw (
      first ?? new LoopError('EOPNOTSUPP', `loop${device}: this daemon cannot attach by ${by ?? 'any way'}`)
    );
  }

  /** A second operation on a device is refused, not queued: its outcome would depend on the first. */
  async #alone<T>(device: number, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(device)) {
      throw new LoopError('EBUSY', `loop${device}: ${nodePath(device)} is being attached or detached`);
    }
    this.#busy.add(device);
    try {
      return await work();
    } finally {
      this.#busy.delete(device);
    }
  }
}
