/** What the daemon before this one handed over: open files and the kernel's sockets, by device. */

import type { HandedFile } from '../io/backing-file.js';
import type { PartedSocket } from '../kernel/attach.js';
import { takeDescriptors } from '../kernel/keeper.js';
import { closeDescriptor } from '../kernel/netlink/calls.js';
import type { Handover } from './state.js';

interface HandedDevice {
  file: number | undefined;
  lock: number | undefined;
  layers: number[];
  sockets: PartedSocket[];
}

/** Each descriptor is taken once, by whoever closes it; the rest is closed at the end. */
export class HandedOver {
  readonly #devices = new Map<number, HandedDevice>();

  constructor(handover: Handover | null) {
    if (handover === null) return;
    takeDescriptors(handover.keeper).forEach((fd, i) => {
      const what = handover.descriptors[i];
      if (fd < 0) return;
      if (what === undefined) closeDescriptor(fd);
      else if (what.kind === 'socket') {
        this.#device(what.device).sockets.push({ fd, leftover: Buffer.from(what.leftover, 'base64') });
      } else if (what.kind === 'layer') this.#device(what.device).layers.push(fd);
      else this.#device(what.device)[what.kind] = fd;
    });
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

  /** Closes what nobody took. */
  close(): void {
    for (const { file, lock, layers, sockets } of this.#devices.values()) {
      for (const fd of [file, lock, ...layers, ...sockets.map((socket) => socket.fd)]) {
        if (fd !== undefined) closeDescriptor(fd);
      }
    }
    this.#devices.clear();
  }

  #device(number: number): HandedDevice {
    const device = this.#devices.get(number) ?? { file: undefined, lock: undefined, layers: [], sockets: [] };
    this.#devices.set(number, device);
    return device;
  }
}
