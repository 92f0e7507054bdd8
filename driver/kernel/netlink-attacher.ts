/** Attaches by generic netlink: the kernel gets one end of socketpairs, and a reactor serves the other. */

import { readFile } from 'node:fs/promises';
import { LoopError } from '../errno.js';
import { seeDoctor } from '../see-doctor.js';
import type { Attacher, AttachTarget, Obstacle, PartedDevice, PartedSocket } from './attach.js';
import { backendIdentifier } from './backend-identifier.js';
import { moduleObstacle } from './module.js';
import { KernelRefusal } from './netlink/kernel-link.js';
import { NetlinkDevice, type NetlinkHost } from './netlink-device.js';
import { backendOf, isConnected, nodePath } from './sysfs.js';

/** linux/capability.h */
const CAP_SYS_ADMIN = 21n;

export class NetlinkAttacher implements Attacher {
  readonly method = 'netlink';
  readonly #devices = new Map<number, NetlinkDevice>();

  constructor(readonly host: NetlinkHost) {
    host.link.events.on('linkDead', (index) => this.#devices.get(index)?.lostLink());
  }

  async obstacle(): Promise<Obstacle | null> {
    if (!(await maySetUpDevices())) {
      return {
        errno: 'EPERM',
        message: `attaching to the kernel needs a daemon that runs as root ${seeDoctor('rights')}`,
      };
    }
    const missing = await moduleObstacle();
    if (missing !== null) return missing;
    try {
      await this.host.link.status(0);
      return null;
    } catch (error) {
      if (!(error instanceof KernelRefusal)) throw error;
      // A device that does not exist is no obstacle: CONNECT makes it.
      if (error.errno !== 'ENOENT' && error.errno !== 'EPERM') return null;
      const why =
        error.errno === 'EPERM' ? 'does not allow it' : 'is not to be seen in this network namespace';
      return {
        errno: error.errno,
        message: `the netlink interface of the kernel's nbd driver ${why} ${seeDoctor('rights')}`,
      };
    }
  }

  async attach(target: AttachTarget): Promise<void> {
    const device = new NetlinkDevice(target, this.host);
    await device.connect();
    this.#devices.set(target.device, device);
  }

  async resume(
    target: AttachTarget,
    sockets: readonly PartedSocket[],
    after?: Promise<unknown>,
  ): Promise<boolean> {
    const { device } = target;
    if (!this.#hasKernel(target)) return false;
    const resumed = new NetlinkDevice(target, this.host);
    this.#devices.set(device, resumed);
    await resumed.resume(sockets, after);
    return true;
  }

  hold(target: AttachTarget): boolean {
    if (!this.#hasKernel(target)) return false;
    this.#devices.get(target.device)?.abandon();
    const held = new NetlinkDevice(target, this.host);
    held.abandon();
    this.#devices.set(target.device, held);
    return true;
  }

  async disconnect(device: number): Promise<void> {
    await this.#of(device).disconnect();
  }

  forget(device: number): void {
    this.#devices.get(device)?.abandon();
    this.#devices.delete(device);
  }

  async resize(device: number, size: number): Promise<boolean> {
    await this.#reconfigure(device, { size });
    return true;
  }

  async disconnectOnClose(device: number, on: boolean): Promise<boolean> {
    await this.#reconfigure(device, { disconnectOnClose: on });
    return true;
  }

  limited(device: number, isLimited: boolean): Promise<void> {
    return this.#of(device).limited(isLimited);
  }

  abandon(): void {
    for (const device of this.#devices.values()) device.abandon();
  }

  part(): Promise<PartedDevice[]> {
    return Promise.all(
      [...this.#devices].map(async ([number, device]) => ({ device: number, sockets: await device.part() })),
    );
  }

  /** With this very binding. */
  #hasKernel({ device, binding }: AttachTarget): boolean {
    return (
      isConnected(device) && backendOf(device) === backendIdentifier(this.host.daemonId, device, binding)
    );
  }

  async #reconfigure(device: number, change: Parameters<NetlinkDevice['reconfigure']>[0]): Promise<void> {
    try {
      await this.#of(device).reconfigure(change);
    } catch (error) {
      if (!(error instanceof KernelRefusal)) throw error;
      if (!isConnected(device))
        throw new LoopError('ENXIO', `${nodePath(device)}: the kernel has let go of it`);
      throw new LoopError(error.errno, `${nodePath(device)}: the kernel refused to change it`);
    }
  }

  #of(device: number): NetlinkDevice {
    const found = this.#devices.get(device);
    if (found === undefined) throw new LoopError('ENXIO', `loop${device} is not attached to the kernel`);
    return found;
  }
}

/** nbd asks for CAP_SYS_ADMIN. */
async function maySetUpDevices(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
}
