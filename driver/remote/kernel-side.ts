/** One device of another host in the kernel: what the driver is told of it, and how it is taken out. */

import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import { type KernelLink, KernelRefusal } from '../kernel/netlink/kernel-link.js';
import type { NbdSettings } from '../kernel/netlink/nbd.js';
import { isUsed, touch, usersPhrase } from '../kernel/node.js';
import { backendOf, isConnected, limitRequests, nodePath, setRequestTick } from '../kernel/sysfs.js';
import { flagsForKernel, isReadOnly, logicalBlock } from './facts.js';
import type { Link } from './link.js';
import { type RemoteRecord, remoteBackend } from './record.js';

export interface RemoteHost {
  readonly link: KernelLink;
  readonly daemonId: string;
  readonly log: { info(fields: object, message: string): void; error(fields: object, message: string): void };
}

/** The kernel sees a node that udev has just opened and closed as busy: that long it is asked again, milliseconds. */
const BUSY_MS = 3000;
const RETRY_MS = 100;
/** Who looks at the node for a moment does not keep it from being detached, milliseconds. */
const PROBER_MS = 1000;
const FORCED_MS = 2000;
/** After so many milliseconds the block layer looks again at a request whose socket was replaced, and sends it again. */
const TICK_MS = 5000;
/** With several sockets the driver gives up that of a request which is out for so long, though no timeout was set. */
const TICK_OF_SEVERAL_MS = 90_000;

export class KernelSide {
  constructor(
    readonly host: RemoteHost,
    /** Changes when the export grows. */
    public record: RemoteRecord,
  ) {}

  get node(): string {
    return nodePath(this.record.number);
  }

  /** The kernel has this very attachment. */
  get isThere(): boolean {
    const { number } = this.record;
    return isConnected(number) && backendOf(number) === this.#backend;
  }

  /** CONNECT. Throws a LoopError with the kernel's errno. */
  async connect(links: readonly Link[]): Promise<void> {
    const { number, timeout, facts, readOnly, connections } = this.record;
    await this.#unlessBusy({
      ...this.#settings(links),
      timeout,
      serverFlags: flagsForKernel(facts, readOnly),
    });
    if (timeout === 0)
      await this.#try(setRequestTick(number, connections === 1 ? TICK_MS : TICK_OF_SEVERAL_MS));
    await this.#try(limitRequests(number, facts.maximumBlock));
    // The first open reads the partitions, while the server is there to be read from.
    await this.#try(touch(number));
  }

  /** RECONFIGURE: dead sockets are replaced, and the size is said again. False where the kernel takes none any more. */
  async replace(links: readonly Link[]): Promise<boolean> {
    try {
      await this.host.link.reconfigure(this.#settings(links));
      return true;
    } catch (error) {
      if (error instanceof KernelRefusal && (error.errno === 'EINVAL' || !this.isThere)) return false;
      throw error;
    }
  }

  /**
   * Ends the attachment unless somebody uses the node: false then, and everything works on. The kernel decides, by the last
   * close, which no user escapes.
   */
  async endUnused(patienceMs = PROBER_MS): Promise<boolean> {
    const { number } = this.record;
    try {
      await this.#onClose(true);
      await touch(number);
      if (await this.#hasLetGo(patienceMs)) return true;
    } finally {
      if (this.isThere) await this.#onClose(false);
    }
    return !this.isThere;
  }

  /** Whoever uses it: what is under way, and what comes, fails. */
  async endByForce(): Promise<void> {
    await this.host.link.disconnect(this.record.number).catch((error: unknown) => {
      // It had let go already.
      if (!(error instanceof KernelRefusal && error.errno === 'EINVAL')) throw error;
    });
    await this.#hasLetGo(FORCED_MS);
  }

  /** Who uses it, to end a sentence with. */
  users(): Promise<string> {
    return usersPhrase(this.record.number);
  }

  isUsed(): Promise<boolean> {
    return isUsed(this.record.number, 0);
  }

  get isReadOnly(): boolean {
    return this.record.readOnly || isReadOnly(this.record.facts);
  }

  get #backend(): string {
    return remoteBackend(this.host.daemonId, this.record);
  }

  #settings(links: readonly Link[]): NbdSettings {
    const { number, deadTimeout, facts } = this.record;
    return {
      index: number,
      backend: this.#backend,
      deadTimeout,
      size: facts.size,
      blockSize: logicalBlock(facts),
      sockets: links.map(({ fd }) => fd),
    };
  }

  async #unlessBusy(settings: NbdSettings): Promise<void> {
    const deadline = Date.now() + BUSY_MS;
    for (;;) {
      try {
        return await this.host.link.connect(settings);
      } catch (error) {
        if (!(error instanceof KernelRefusal)) throw error;
        const mayBeSoon = error.errno === 'EBUSY' && !isConnected(settings.index) && Date.now() < deadline;
        if (!mayBeSoon) throw new LoopError(error.errno, `the kernel did not attach ${this.node}`);
        await sleep(RETRY_MS);
      }
    }
  }

  async #onClose(on: boolean): Promise<void> {
    const { number, deadTimeout } = this.record;
    try {
      await this.host.link.reconfigure({
        index: number,
        backend: this.#backend,
        deadTimeout,
        disconnectOnClose: on,
      });
    } catch (error) {
      // It has let go, or was told to by another.
      if (!(error instanceof KernelRefusal && error.errno === 'EINVAL')) throw error;
    }
  }

  async #hasLetGo(patienceMs: number): Promise<boolean> {
    const deadline = Date.now() + patienceMs;
    while (this.isThere) {
      if (Date.now() >= deadline) return false;
      await sleep(5);
    }
    return true;
  }

  /** Best effort. */
  async #try(work: Promise<void>): Promise<void> {
    await work.catch((err: unknown) =>
      this.host.log.error({ err, node: this.node }, `${this.node}: not all is set as it should be`),
    );
  }
}
