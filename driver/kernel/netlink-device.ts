/**
 * One device in the kernel, attached by netlink: its socketpairs, whose one end a reactor serves and whose other
 * end the kernel has. Sockets that die while the kernel keeps the device are replaced.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import type { AttachTarget, PartedSocket } from './attach.js';
import { closeDescriptor, errno, isHungUp, socketPair } from './netlink/calls.js';
import { type KernelLink, KernelRefusal } from './netlink/kernel-link.js';
import type { NbdSettings } from './netlink/nbd.js';
import { backendOf, isConnected, nodePath } from './sysfs.js';

/** A socket of ours that a reactor serves. */
export interface ServedEnd {
  /** Transmission flags that the kernel may rely on. */
  readonly transmissionFlags: number;
  /** When the socket is closed: 'disconnected' if the kernel said so, as a disconnect does it. */
  readonly closed: Promise<'disconnected' | 'lost'>;
  /** Gives the socket up between two requests: what was received and not served, or undefined when it has ended. */
  part(): Promise<Uint8Array | undefined>;
}

/** What a device needs of the daemon. */
export interface NetlinkHost {
  readonly link: KernelLink;
  /** Identifies this daemon and its successors. */
  readonly daemonId: string;
  /** Opens the export and has a reactor serve it on a socket, which is the server's from then on. */
  serve(exportName: string, socket: PartedSocket): Promise<ServedEnd>;
  readonly log: { info(fields: object, message: string): void; error(fields: object, message: string): void };
}

/** The kernel sees a node that udev has just opened and closed as busy: that long it is asked again, milliseconds. */
const BUSY_MS = 3000;
/** A kernel that disconnects has this long to let go before its lost sockets count as accidents, milliseconds. */
const GOODBYE_MS = 2000;
/** The same where it may keep the device for its users: all that is to be seen is that it closes the sockets. */
const FORCED_MS = 500;
/** Between two attempts to replace dead sockets, milliseconds. */
const RETRY_MS = 100;
const LOST_MS = 20;
/** After so many attempts in vain only every second one more, so that a device that can't be had costs nothing. */
const QUICK_ATTEMPTS = 100;

export class NetlinkDevice {
  readonly #live = new Map<number, ServedEnd>();
  /** Somebody asked for the end: lost sockets are no accident. */
  #isEnding = false;
  #revival: Promise<void> | undefined;

  constructor(
    readonly target: AttachTarget,
    readonly host: NetlinkHost,
  ) {}

  /** CONNECT. Throws the kernel's errno. */
  async connect(): Promise<void> {
    const { device, exportName, blockSize, size, connections } = this.target;
    const sockets: number[] = [];
    let flags = 0;
    try {
      for (let i = 0; i < connections; i++) {
        const { kernels, end } = await this.#socket();
        sockets.push(kernels);
        flags = end.transmissionFlags;
      }
      await this.#connectUnlessBusy({ ...this.#settings(), size, blockSize, serverFlags: flags, sockets });
    } catch (error) {
      this.#isEnding = true;
      if (!(error instanceof KernelRefusal)) throw error;
      throw new LoopError(error.errno, `${exportName}: the kernel did not attach ${nodePath(device)}`);
    } finally {
      sockets.forEach(closeDescriptor);
    }
  }

  /**
   * Takes up a device that the kernel has kept from a daemon that is gone, with the sockets that it has left. What
   * waits in a socket that the kernel has given up since then is sent again over another one, and what was written
   * there must not be written over: it is not served.
   */
  async resume(sockets: readonly PartedSocket[]): Promise<void> {
    for (const socket of sockets) {
      if (isHungUp(socket.fd)) closeDescriptor(socket.fd);
      else await this.#serve(socket);
    }
    this.#revive();
  }

  /** From here on the kernel's sockets are left alone. */
  abandon(): void {
    this.#isEnding = true;
  }

  /** Gives up every socket, each between two requests. The kernel's are left alone from here on. */
  async part(): Promise<PartedSocket[]> {
    this.#isEnding = true;
    const parted = await Promise.all(
      [...this.#live].map(async ([fd, end]) => ({ fd, leftover: await end.part() })),
    );
    return parted.flatMap(({ fd, leftover }) => (leftover === undefined ? [] : [{ fd, leftover }]));
  }

  /**
   * DISCONNECT, and until the kernel has let go. Throws EBUSY when it does not; with `force` it may keep the device,
   * without sockets, for those who have it open.
   */
  async disconnect(force: boolean): Promise<void> {
    const { device } = this.target;
    this.#isEnding = true;
    await this.host.link.disconnect(device).catch((error: unknown) => {
      // It had let go already.
      if (!(error instanceof KernelRefusal && error.errno === 'EINVAL')) throw error;
    });
    if (await this.#letGo(force ? FORCED_MS : GOODBYE_MS)) return;
    if (force && this.#live.size === 0) return;
    this.#isEnding = false;
    throw new LoopError('EBUSY', `${nodePath(device)}: the kernel does not let go of it`);
  }

  /** The kernel tells that a socket is dead. */
  lostLink(): void {
    this.#revive();
  }

  /** RECONFIGURE with what is to change. */
  async reconfigure(change: Partial<NbdSettings>): Promise<void> {
    await this.host.link.reconfigure({ ...this.#settings(), ...change });
  }

  /** What every command says: the timeouts of a device outlive its attachments. */
  #settings(): NbdSettings {
    const { device, timeout, deadTimeout } = this.target;
    return { index: device, backend: backendIdentifier(this.host.daemonId, device), timeout, deadTimeout };
  }

  async #connectUnlessBusy(settings: NbdSettings): Promise<void> {
    const deadline = Date.now() + BUSY_MS;
    for (;;) {
      try {
        return await this.host.link.connect(settings);
      } catch (error) {
        const isBusy = error instanceof KernelRefusal && error.errno === 'EBUSY';
        if (!isBusy || isConnected(this.target.device) || Date.now() > deadline) throw error;
        await sleep(RETRY_MS);
      }
    }
  }

  /** A new pair, our end served. Caller closes the kernel's descriptor. */
  async #socket(): Promise<{ kernels: number; end: ServedEnd }> {
    const pair = socketPair();
    if (pair === undefined) {
      throw new LoopError('EMFILE', `${this.target.exportName}: no socket can be had (errno ${errno()})`);
    }
    try {
      const end = await this.#serve({ fd: pair.ours, leftover: new Uint8Array(0) });
      return { kernels: pair.kernels, end };
    } catch (error) {
      closeDescriptor(pair.kernels);
      throw error;
    }
  }

  /** The descriptor is the server's from here on, or closed. */
  async #serve(socket: PartedSocket): Promise<ServedEnd> {
    const { fd } = socket;
    try {
      const end = await this.host.serve(this.target.exportName, socket);
      this.#live.set(fd, end);
      void end.closed.then((how) => this.#ended(fd, end, how));
      return end;
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  /** The number may be another socket's by now. */
  #ended(fd: number, end: ServedEnd, how: 'disconnected' | 'lost'): void {
    if (this.#live.get(fd) === end) this.#live.delete(fd);
    if (how === 'lost') this.#revive();
    else void this.#letGo(GOODBYE_MS).then((isGone) => isGone || this.#revive());
  }

  #revive(): void {
    if (this.#isEnding || this.#revival !== undefined) return;
    this.#revival = this.#replaceDead()
      .catch((error: unknown) => this.host.log.error({ err: error }, 'sockets could not be replaced'))
      .finally(() => {
        this.#revival = undefined;
      });
  }

  /** Until all sockets live, or the kernel has let go of the device. */
  async #replaceDead(): Promise<void> {
    const { device, connections, exportName } = this.target;
    const lost = connections - this.#live.size;
    for (let attempt = 0; this.#isOurs() && this.#live.size < connections; attempt++) {
      await this.#replace(connections - this.#live.size);
      // A socket that the kernel had no use for ends at once.
      await sleep(attempt < QUICK_ATTEMPTS ? LOST_MS : 1000);
      if (this.#live.size < connections) await sleep(RETRY_MS);
    }
    if (this.#live.size >= connections && lost > 0) {
      this.host.log.info({ device: exportName, sockets: lost }, `${nodePath(device)}: dead sockets replaced`);
    }
  }

  async #replace(count: number): Promise<void> {
    const sockets: number[] = [];
    try {
      for (let i = 0; i < count; i++) sockets.push((await this.#socket()).kernels);
      await this.host.link.reconfigure({ ...this.#settings(), sockets });
    } catch (error) {
      if (!(error instanceof KernelRefusal)) throw error;
    } finally {
      sockets.forEach(closeDescriptor);
    }
  }

  #isOurs(): boolean {
    const { device } = this.target;
    if (this.#isEnding || !isConnected(device)) return false;
    return backendOf(device) === backendIdentifier(this.host.daemonId, device);
  }

  async #letGo(timeoutMs: number): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    while (isConnected(this.target.device)) {
      if (Date.now() > deadline) return false;
      await sleep(5);
    }
    return true;
  }
}

/** By this a restarted daemon knows its devices: /sys/block/nbdN/backend. */
export const backendIdentifier = (daemonId: string, device: number): string =>
  `nbdloop:${daemonId}:loop${device}`;
