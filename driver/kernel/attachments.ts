/** Which devices are attached to the kernel, by which way; one operation at a time for each device. */

import { LoopError } from '../errno.js';
import type { Attacher, AttachTarget } from './attach.js';
import { isConnected, nodePath, usersOf } from './sysfs.js';

/** Seconds. A daemon that is slow for this long loses its socket; one that is gone may come back for as long. */
const DEFAULT_TIMEOUT = 30;
const DEFAULT_DEAD_TIMEOUT = 30;

export interface AttachOptions {
  readonly by?: Attacher['method'];
  readonly connections?: number;
  readonly timeout?: number;
  readonly deadTimeout?: number;
}

/** What the kernel has to know of a device. */
export interface AttachableDevice {
  readonly blockSize: number;
  readonly autoclear: boolean;
}

export class Attachments {
  readonly #attached = new Map<number, Attacher>();
  readonly #busy = new Set<number>();

  /** The first of `attachers` that works here is the default. */
  constructor(
    readonly attachers: readonly Attacher[],
    readonly describe: (device: number) => Promise<AttachableDevice>,
  ) {}

  /** `/dev/nbdN`; null as soon as the kernel has let go, whoever made it. */
  node(device: number): string | null {
    if (!this.#attached.has(device)) return null;
    if (this.#busy.has(device) || isConnected(device)) return nodePath(device);
    this.#attached.delete(device);
    return null;
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
      const { blockSize, autoclear } = await this.describe(device);
      const target: AttachTarget = {
        device,
        exportName: `loop${device}`,
        blockSize,
        connections: options.connections ?? 1,
        timeout: options.timeout ?? DEFAULT_TIMEOUT,
        deadTimeout: options.deadTimeout ?? DEFAULT_DEAD_TIMEOUT,
        disconnectOnClose: autoclear,
      };
      await attacher.attach(target);
      this.#attached.set(device, attacher);
      return node;
    });
  }

  /** ENXIO when not attached; EBUSY while somebody uses the node, unless `force`. */
  async detach(device: number, options: { force?: boolean } = {}): Promise<void> {
    return this.#alone(device, async () => {
      const attacher = this.#of(device);
      if (options.force !== true) await this.#refuseUsed(device);
      await attacher.detach(device);
      this.#attached.delete(device);
    });
  }

  async inUse(device: number): Promise<boolean> {
    return (await usersOf(device, process.pid)).length > 0;
  }

  /** Best effort where the way of attaching cannot tell the kernel: it sees the size at the next attach. */
  async resized(device: number, size: number): Promise<void> {
    await this.#of(device).resize(device, size);
  }

  async disconnectOnClose(device: number, on: boolean): Promise<boolean> {
    if (this.node(device) === null) return false;
    return this.#of(device).disconnectOnClose(device, on);
  }

  #of(device: number): Attacher {
    const attacher = this.#attached.get(device);
    if (attacher === undefined) throw new LoopError('ENXIO', `loop${device} is not attached to the kernel`);
    return attacher;
  }

  async #choose(device: number, by: Attacher['method'] | undefined): Promise<Attacher> {
    const candidates = this.attachers.filter((attacher) => by === undefined || attacher.method === by);
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
