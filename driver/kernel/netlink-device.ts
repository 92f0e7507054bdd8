/**
 * One device in the kernel, attached by netlink: its socketpairs, whose one end a reactor serves and whose other
 * end the kernel has. Sockets that die while the kernel keeps the device are replaced.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import type { AttachTarget, PartedSocket } from './attach.js';
import { backendIdentifier } from './backend-identifier.js';
import { closeDescriptor, isHungUp, socketPair } from './netlink/calls.js';
import { type KernelLink, KernelRefusal } from './netlink/kernel-link.js';
import type { NbdSettings } from './netlink/nbd.js';
import { NetlinkSockets, type ServedEnd } from './netlink-sockets.js';
import { RequestTimeouts } from './request-timeouts.js';
import { backendOf, isConnected, nodePath, setRequestTick } from './sysfs.js';

/** What a device needs of the daemon. */
export interface NetlinkHost {
  readonly link: KernelLink;
  /** Identifies this daemon and its successors. */
  readonly daemonId: string;
  /**
   * Opens the export and has a reactor serve it on a socket, which is the server's from then on. ESTALE when another
   * binding is behind it by now.
   */
  serve(target: AttachTarget, socket: PartedSocket): Promise<ServedEnd>;
  /** Has a reactor answer EIO to all that comes over a socket, which is the server's from then on. */
  refuse(target: AttachTarget, socket: PartedSocket): ServedEnd;
  readonly log: { info(fields: object, message: string): void; error(fields: object, message: string): void };
}

/** The kernel sees a node that udev has just opened and closed as busy: that long it is asked again, milliseconds. */
const BUSY_MS = 3000;
/** A kernel that disconnects has this long to let go before its lost sockets count as accidents, milliseconds. */
const GOODBYE_MS = 2000;
/** The same by force, where it may keep the device for its users: all that is to be seen is that it closes the sockets. */
const FORCED_MS = 500;
/** Between two attempts to replace dead sockets, milliseconds. */
const RETRY_MS = 100;
const LOST_MS = 20;
/** So many attempts in vain say that the kernel holds on to sockets of a daemon that is gone. */
const VAIN_ATTEMPTS = 3;
/** After so many attempts in vain only every second one more, so that a device that can't be had costs nothing. */
const QUICK_ATTEMPTS = 100;
/**
 * Milliseconds after which the block layer looks again at a request that is still out. Without a timeout it then sends it
 * again if the socket was replaced since, and waits on otherwise: so long a crash of ours is felt.
 */
const TICK_MS = 5000;
/** With several sockets the driver gives up the one of a request that is out for so long, though no timeout was set. */
const TICK_OF_SEVERAL_MS = 90_000;
/** When limits are lifted, what waited for them is done within this, milliseconds: then the timeout counts again. */
const LIFTED_MS = 1000;
/** What timed out too often comes back within this, and is refused, milliseconds. */
const REFUSING_MS = 1000;

/** A daemon that hands over waits so long for what a device has under way, milliseconds. */
const PART_MS = 3000;

export class NetlinkDevice {
  readonly #sockets: NetlinkSockets;
  readonly #timeouts: RequestTimeouts;
  /** Somebody asked for the end: lost sockets are no accident. */
  #isEnding = false;
  #isLimited: boolean;
  #revival: Promise<void> | undefined;
  /** A socket was lost since the revival under way last looked. */
  #isLookedFor = false;

  constructor(
    readonly target: AttachTarget,
    readonly host: NetlinkHost,
  ) {
    this.#timeouts = new RequestTimeouts(target.timeout);
    this.#isLimited = target.isLimited;
    this.#sockets = new NetlinkSockets({
      exportName: target.exportName,
      serve: (socket) => host.serve(target, socket),
      isEnding: () => this.#isEnding,
      onEnd: (how) => {
        if (how === 'lost') this.#revive();
        else void this.#letGo(GOODBYE_MS).then((isGone) => isGone || this.#revive());
      },
      onFailure: (err) => this.#failed(err),
    });
  }

  /** CONNECT. Throws the kernel's errno. */
  async connect(): Promise<void> {
    const { device, exportName, blockSize, size, connections } = this.target;
    const timeout = this.#timeout;
    const sockets: number[] = [];
    try {
      for (let i = 0; i < connections; i++) sockets.push(await this.#sockets.open());
      const serverFlags = this.#sockets.transmissionFlags;
      await this.#connectUnlessBusy({ ...this.#settings(), timeout, size, blockSize, serverFlags, sockets });
      if (timeout === 0) await this.#setTick();
    } catch (error) {
      this.#isEnding = true;
      if (!(error instanceof KernelRefusal)) throw error;
      throw new LoopError(error.errno, `${exportName}: the kernel did not attach ${nodePath(device)}`);
    } finally {
      sockets.forEach(closeDescriptor);
    }
  }

  /** Seconds; 0: none. What waits for limits is no sign of a socket that is dead. */
  get #timeout(): number {
    return this.#isLimited ? 0 : this.target.timeout;
  }

  /** Limits were set, or lifted. */
  async limited(isLimited: boolean): Promise<void> {
    if (isLimited === this.#isLimited) return;
    this.#isLimited = isLimited;
    if (this.target.timeout === 0) return;
    if (!isLimited) await sleep(LIFTED_MS);
    await this.#setTimeout();
  }

  /** Best effort: without it what waits for long is sent again. */
  async #setTimeout(): Promise<void> {
    try {
      await this.reconfigure({ timeout: this.#timeout });
    } catch (error) {
      if (!(error instanceof KernelRefusal)) throw error;
      return;
    }
    if (this.#timeout === 0) await this.#setTick();
  }

  /**
   * Takes up a device that the kernel has kept from a daemon that is gone, with the sockets that it has left. What
   * waits in a socket that the kernel has given up since then is sent again over another one, and what was written
   * there must not be written over: it is not served. Nor is anything before `after`.
   */
  async resume(sockets: readonly PartedSocket[], after?: Promise<unknown>): Promise<void> {
    if (after !== undefined) this.#sockets.waitFor(after);
    if (this.target.timeout !== 0 && this.#isOurs()) await this.#setTimeout();
    for (const socket of sockets) {
      if (isHungUp(socket.fd)) closeDescriptor(socket.fd);
      else await this.#sockets.take(socket);
    }
    this.#revive();
  }

  /** From here on the kernel's sockets are left alone. */
  abandon(): void {
    this.#isEnding = true;
  }

  /** Gives up every socket, each between two requests (`NetlinkSockets.part`). The kernel's are left alone from here on. */
  async part(): Promise<PartedSocket[]> {
    this.#isEnding = true;
    return await this.#sockets.part(PART_MS);
  }

  /** DISCONNECT, whoever uses the device: the kernel may keep it, without sockets, for those who have it open. */
  async disconnect(): Promise<void> {
    const { device } = this.target;
    this.#isEnding = true;
    await this.host.link.disconnect(device).catch((error: unknown) => {
      // It had let go already.
      if (!(error instanceof KernelRefusal && error.errno === 'EINVAL')) throw error;
    });
    const isGone = await this.#letGo(FORCED_MS);
    this.#sockets.retire();
    // An operation that hangs keeps our end; the kernel has closed its own.
    if (isGone || this.#sockets.count === 0) return;
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

  /**
   * What every command says: the dead timeout of a device outlives its attachments. So does the timeout, but saying it
   * sets the tick to its default, 30 s.
   */
  #settings(): NbdSettings {
    const { device, deadTimeout } = this.target;
    return { index: device, backend: this.#backend, deadTimeout };
  }

  /** Best effort: without it a request that was out when a daemon died is sent again after 30 s. */
  async #setTick(): Promise<void> {
    const { device, connections } = this.target;
    await setRequestTick(device, connections === 1 ? TICK_MS : TICK_OF_SEVERAL_MS).catch((err: unknown) =>
      this.host.log.error(
        { err, device },
        `${nodePath(device)}: the time after which requests are sent again stays`,
      ),
    );
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

  #revive(): void {
    if (this.#isEnding) return;
    this.#isLookedFor = true;
    this.#revival ??= this.#replaceWhileLost()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#revival = undefined;
      });
  }

  #failed(err: unknown): void {
    this.host.log.error({ err, device: this.target.exportName }, 'sockets could not be replaced');
  }

  /** A socket may be lost while others are replaced. */
  async #replaceWhileLost(): Promise<void> {
    while (this.#isLookedFor) {
      this.#isLookedFor = false;
      await this.#replaceDead();
    }
  }

  /** Until all sockets live, or the kernel has let go of the device. */
  async #replaceDead(): Promise<void> {
    const { device, connections, exportName } = this.target;
    let lost = 0;
    let isHastened = false;
    for (let attempt = 0; this.#isOurs(); attempt++) {
      this.#sockets.retire();
      const missing = connections - this.#sockets.count;
      if (missing === 0) break;
      lost ||= missing;
      if (this.#timeout !== 0 && this.#timeouts.areTooMany()) await this.#refuseResent();
      await this.#replace(connections - this.#sockets.count);
      // A socket that the kernel had no use for ends at once.
      await sleep(attempt < QUICK_ATTEMPTS ? LOST_MS : 1000);
      this.#sockets.retire();
      if (this.#sockets.count === 0 && attempt === VAIN_ATTEMPTS) isHastened = await this.#hasten();
      if (this.#sockets.count < connections) await sleep(RETRY_MS);
    }
    if (isHastened) await this.#setTimeout();
    if (this.#sockets.count >= connections && lost > 0 && this.#isOurs()) {
      this.host.log.info({ device: exportName, sockets: lost }, `${nodePath(device)}: dead sockets replaced`);
    }
  }

  /**
   * The kernel takes no socket: it still has those of a daemon that was killed and can't end, which nobody serves. It gives
   * them up when a request has been out for a second. True where that is to be taken back.
   */
  async #hasten(): Promise<boolean> {
    if (this.#timeout > 0) return false;
    await this.host.link.reconfigure({ ...this.#settings(), timeout: 1 });
    return true;
  }

  async #replace(count: number): Promise<void> {
    if (count === 0) return;
    const sockets: number[] = [];
    try {
      for (let i = 0; i < count; i++) sockets.push(await this.#sockets.open());
      await this.host.link.reconfigure({ ...this.#settings(), sockets });
    } catch (error) {
      if (!(error instanceof KernelRefusal)) throw error;
      // Somebody had it disconnected: the kernel keeps it, for those who have it open, but takes no socket any more.
      if (error.errno === 'EINVAL') this.#isEnding = true;
    } finally {
      sockets.forEach(closeDescriptor);
    }
  }

  /** The kernel gets a socket for a moment over which all that it sends again is answered EIO. */
  async #refuseResent(): Promise<void> {
    const { device, exportName, timeout } = this.target;
    const pair = socketPair();
    if (pair === undefined) return;
    const end = this.host.refuse(this.target, { fd: pair.ours, leftover: new Uint8Array(0) });
    this.host.log.error(
      { device: exportName, timeout, times: RequestTimeouts.MOST },
      `${nodePath(device)}: requests took longer than the timeout too often and are answered EIO`,
    );
    try {
      await this.host.link.reconfigure({ ...this.#settings(), sockets: [pair.kernels] });
      await sleep(REFUSING_MS);
    } catch (error) {
      if (!(error instanceof KernelRefusal)) throw error;
    } finally {
      closeDescriptor(pair.kernels);
    }
    // Closed, it is dead for the kernel, which sends the little that came since once more.
    if ((await end.part()) !== undefined) closeDescriptor(pair.ours);
  }

  #isOurs(): boolean {
    const { device } = this.target;
    if (this.#isEnding || !isConnected(device)) return false;
    return backendOf(device) === this.#backend;
  }

  get #backend(): string {
    return backendIdentifier(this.host.daemonId, this.target.device, this.target.binding);
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
