/** What the daemon before this one handed over: open files, the kernel's sockets and clients' sessions, by device. */

import type { PartedSession } from '../../server/parted-session.js';
import type { HandedFile } from '../io/backing-file.js';
import type { PartedSocket } from '../kernel/attach.js';
import { takeDescriptors } from '../kernel/keeper.js';
import { closeDescriptor } from '../kernel/netlink/calls.js';
import type { Handed, Handover } from './state.js';

interface HandedDevice {
  file: number | undefined;
  lock: number | undefined;
  layers: number[];
  sockets: PartedSocket[];
  sessions: PartedSession[];
}

/** Each descriptor is taken once, by whoever closes it; the rest is closed at the end. */
export class HandedOver {
  readonly #devices = new Map<number, HandedDevice>();

  constructor(handover: Handover | null) {
    for (const one of [handover, handover?.clients]) {
      if (!one) continue;
      takeDescriptors(one.keeper).forEach((fd, i) => {
        if (fd >= 0) this.#add(fd, one.descriptors[i]);
      });
    }
  }

  #add(fd: number, what: Handed | undefined): void {
    if (what === undefined) {
      closeDescriptor(fd);
      return;
    }
    const device = this.#device(what.device);
    if (what.kind === 'socket') device.sockets.push({ fd, leftover: Buffer.from(what.leftover, 'base64') });
    else if (what.kind === 'session') {
      const { kind: _, leftover, ...session } = what;
      device.sessions.push({ ...session, fd, leftover: Buffer.from(leftover, 'base64') });
    } else if (what.kind === 'layer') device.layers.push(fd);
    else device[what.kind] = fd;
  }

  /** The open file of a device. */
  takeFile(number: number): HandedFile | undefined {
    const device = this.#devices.get(number);
    if (device?.file === undefined) return undefined;
    const taken = { file: device.file, lock: device.lock };
    device.file = undefined;
    device.lock = undefined;
    return taken;
  }

  /** Those of its overlay, from above. */
  takeLayers(number: number): readonly number[] {
    return this.#devices.get(number)?.layers.splice(0) ?? [];
  }

  takeSockets(number: number): readonly PartedSocket[] {
    return this.#devices.get(number)?.sockets.splice(0) ?? [];
  }

  /** Sessions of clients. */
  takeSessions(number: number): readonly PartedSession[] {
    return this.#devices.get(number)?.sessions.splice(0) ?? [];
  }

  /** Closes what nobody took. */
  close(): void {
    for (const { file, lock, layers, sockets, sessions } of this.#devices.values()) {
      for (const fd of [file, lock, ...layers, ...[...sockets, ...sessions].map((one) => one.fd)]) {
        if (fd !== undefined) closeDescriptor(fd);
      }
    }
    this.#devices.clear();
  }

  #device(number: number): HandedDevice {
    const nothing = { file: undefined, lock: undefined, layers: [], sockets: [], sessions: [] };
    const device = this.#devices.get(number) ?? nothing;
    this.#devices.set(number, device);
    return device;
  }
}
