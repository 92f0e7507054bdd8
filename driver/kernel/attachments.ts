/** Which devices are attached to the kernel, by which way; one operation at a time for each device. */

import { LoopError } from '../errno.js';
import type { Attacher, AttachTarget, PartedDevice, PartedSocket } from './attach.js';
import { LastClose } from './last-close.js';
import { rescanPartitions } from './partitions.js';
import { inUse, isConnected, nodePath, usersOf } from './sysfs.js';

/** Seconds; none: what is only slow is waited for. That the daemon is gone shows by its sockets, which are closed then. */
const DEFAULT_TIMEOUT = 0;
/** Seconds that one that is gone may take to come back. */
const DEFAULT_DEAD_TIMEOUT = 30;

export interface AttachOptions {
  readonly by?: Attacher['method'];
  readonly connections?: number;
  readonly timeout?: number;
  readonly deadTimeout?: number;
}

/** How a device was attached: what a daemon that takes it up again has to know. */
export type AttachRecord = Required<AttachOptions>;

/** What the kernel has to know of a device. */
export interface AttachableDevice {
  readonly size: number;
  readonly blockSize: number;
  readonly autoclear: boolean;
  readonly partscan: boolean;
}

export interface AttachmentsOptions {
  /** The first that works here is the default. */
  readonly attachers: readonly Attacher[];
  readonly describe: (device: number) => Promise<AttachableDevice>;
  /** A device was attached or detached: resolves when that is noted for a daemon that comes after this one. */
  readonly onChange: () => Promise<void>;
  readonly log: { error(fields: object, message: string): void };
}

interface Attached {
  readonly attacher: Attacher;
  readonly record: AttachRecord;
}

export class Attachments {
  readonly #attached = new Map<number, Attached>();
  readonly #busy = new Set<number>();
  readonly #lastClose: LastClose;

  constructor(readonly options: AttachmentsOptions) {
    this.#lastClose = new LastClose({
      disconnectOnClose: (device, on) => this.#of(device).attacher.disconnectOnClose(device, on),
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
      const record: AttachRecord = {
        by: attacher.method,
        connections: options.connections ?? 1,
        timeout: options.timeout ?? DEFAULT_TIMEOUT,
        deadTimeout: options.deadTimeout ?? DEFAULT_DEAD_TIMEOUT,
      };
      const described = await this.options.describe(device);
      await attacher.attach(target(device, record, described));
      this.#attached.set(device, { attacher, record });
      await this.options.onChange();
      await this.#settle(device, described);
      return node;
    });
  }

  /** Takes up a device that a daemon before this one attached. False when the kernel has let go of it. */
  async resume(device: number, record: AttachRecord, sockets: readonly PartedSocket[]): Promise<boolean> {
    const attacher = this.options.attachers.find(({ method }) => method === record.by);
    if (attacher === undefined) return false;
    const described = await this.options.describe(device);
    if (!(await attacher.resume(target(device, record, described), sockets))) return false;
    this.#attached.set(device, { attacher, record });
    if (described.autoclear) void this.#armed(device);
    return true;
  }

  /** ENXIO when not attached; EBUSY while somebody uses the node, unless `force`. */
  async detach(device: number, options: { force?: boolean } = {}): Promise<void> {
    return this.#alone(device, async () => {
      const { attacher } = this.#of(device);
      if (options.force !== true) await this.#refuseUsed(device);
      await attacher.detach(device, options.force === true);
      this.#forget(device);
      await this.options.onChange();
    });
  }

  inUse(device: number): Promise<boolean> {
    return inUse(device);
  }

  /** Best effort where the way of attaching cannot tell the kernel: it sees the size at the next attach. */
  async resized(device: number, size: number): Promise<void> {
    await this.#of(device).attacher.resize(device, size);
    await this.contentChanged(device);
  }

  /** Another file or another part of it is behind the device: where partitions are wanted, they are read again. */
  async contentChanged(device: number): Promise<void> {
    if (this.node(device) === null) return;
    const { partscan } = await this.options.describe(device);
    if (partscan) await this.#rescan(device);
  }

  /** Autoclear was set or taken away. False when the device is not attached. */
  async disconnectOnClose(device: number, on: boolean): Promise<boolean> {
    if (this.node(device) === null) return false;
    if (on) await this.#lastClose.arm(device);
    else await this.#lastClose.disarm(device);
    return true;
  }

  /** The mount table changed. */
  mountsChanged(): void {
    this.#lastClose.look();
  }

  /** Ends: idle devices are detached, those in use stay for the next daemon. */
  async close(): Promise<void> {
    this.#lastClose.close();
    for (const device of [...this.#attached.keys()]) {
      if (this.node(device) === null) continue;
      await this.detach(device).catch((err: unknown) => {
        this.options.log.error({ err, device }, 'the device stays attached for the next daemon');
      });
    }
    for (const attacher of this.options.attachers) attacher.abandon();
  }

  /** Ends as well: every device stays, and its sockets are given up for a daemon that comes at once. */
  async part(): Promise<PartedDevice[]> {
    this.#lastClose.close();
    const parted = await Promise.all(this.options.attachers.map((attacher) => attacher.part()));
    return parted.flat();
  }

  /** What a fresh attachment still needs; its failure leaves the device attached. */
  async #settle(device: number, { autoclear, partscan }: AttachableDevice): Promise<void> {
    if (partscan) await this.#rescan(device);
    if (autoclear) await this.#armed(device);
  }

  #armed(device: number): Promise<void> {
    return this.#lastClose
      .expect(device)
      .catch((err: unknown) => this.options.log.error({ err, device }, 'autoclear: the kernel side failed'));
  }

  async #rescan(device: number): Promise<void> {
    const failure = await rescanPartitions(device).catch((error: Error) => error.message);
    if (failure !== undefined) {
      this.options.log.error({ device, failure }, `${nodePath(device)}: partitions could not be read`);
    }
  }

  #forget(device: number): void {
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

  async #refuseUsed(device: number): Promise<void> {
    const [user] = await usersOf(device, process.pid);
    if (user !== undefined) {
      throw new LoopError(
        'EBUSY',
        `loop${device}: ${nodePath(device)} is in use (${user}); use force to disconnect it`,
      );
    }
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

const target = (device: number, record: AttachRecord, described: AttachableDevice): AttachTarget => ({
  device,
  exportName: `loop${device}`,
  size: described.size,
  blockSize: described.blockSize,
  connections: record.connections,
  timeout: record.timeout,
  deadTimeout: record.deadTimeout,
});
