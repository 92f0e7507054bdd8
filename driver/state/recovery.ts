/** Brings back the devices of the daemon before this one, and keeps the state up to date from then on. */

import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import type { PartedSocket } from '../kernel/attach.js';
import type { Attachments, AttachRecord } from '../kernel/attachments.js';
import { keepDescriptors, takeDescriptors } from '../kernel/keeper.js';
import { backendIdentifier } from '../kernel/netlink-device.js';
import { backendOf, isConnected } from '../kernel/sysfs.js';
import type { LoopControl } from '../loop/loop-control.js';
import type { LoopDevice } from '../loop/loop-device.js';
import type { DeviceState, Handover } from './state.js';
import { deviceState } from './state.js';
import type { StateDirectory } from './state-directory.js';

export interface RecoveryLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RecoveryParts {
  readonly state: StateDirectory;
  readonly loops: LoopControl;
  readonly attachments: Attachments;
  readonly log: RecoveryLog;
}

/** For a device whose daemon died between the attachment and the note of it. */
const UNKNOWN_ATTACHMENT: AttachRecord = { by: 'netlink', connections: 1, timeout: 0, deadTimeout: 30 };

/** A predecessor that has just ended may still hold a file's lock for a moment: so often it is tried again. */
const LOCK_ATTEMPTS = 40;
const LOCK_RETRY_MS = 50;

/**
 * Binds the files of the daemon before this one to the same devices, and takes up those that the kernel still has.
 * A device that can't be had back is logged and left out: the others matter more.
 */
export async function recover(parts: RecoveryParts): Promise<void> {
  const { devices, handover } = parts.state.previous;
  const sockets = handover === null ? [] : takeSockets(handover);
  for (const device of devices) {
    const own = sockets.filter((socket) => socket.device === device.number);
    try {
      await recoverDevice(parts, device, own);
    } catch (err) {
      parts.log.error({ err, device: `loop${device.number}` }, 'a device could not be brought back');
    }
  }
}

function takeSockets({ keeper, sockets }: Handover): (PartedSocket & { readonly device: number })[] {
  return takeDescriptors(keeper).flatMap((fd, i) => {
    const socket = sockets[i];
    if (fd < 0 || socket === undefined) return [];
    return [{ device: socket.device, fd, leftover: Buffer.from(socket.leftover, 'base64') }];
  });
}

async function recoverDevice(
  { state, loops, attachments, log }: RecoveryParts,
  { number, config, attach }: DeviceState,
  sockets: readonly PartedSocket[],
): Promise<void> {
  const isKept = isConnected(number) && backendOf(number) === backendIdentifier(state.daemonId, number);
  // Its last close came while no daemon was there to see it.
  if (attach !== null && !isKept && config.autoclear) return;
  await loops.ctlAdd(number);
  await configure(loops.device(number), config);
  const record = attach ?? UNKNOWN_ATTACHMENT;
  const isResumed = isKept && (await attachments.resume(number, record, sockets));
  log.info(
    { device: `loop${number}`, file: config.file, attached: isResumed, sockets: sockets.length },
    'brought back',
  );
}

async function configure(device: LoopDevice, config: DeviceState['config']): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await device.loopConfigure(config);
    } catch (error) {
      const isLocked = error instanceof LoopError && error.errno === 'EBUSY';
      if (!isLocked || attempt === LOCK_ATTEMPTS) throw error;
      await sleep(LOCK_RETRY_MS);
    }
  }
}

/** Saves what happens to devices, until it is stopped. */
export class StateKeeper {
  #isStopped = false;

  constructor(readonly parts: RecoveryParts) {
    parts.loops.events.on('change', () => void this.save());
  }

  /** Resolves when the present state is durable, or when that has failed, which is logged. */
  async save(): Promise<void> {
    if (this.#isStopped) return;
    const { state, log } = this.parts;
    await state.save(this.#devices()).catch((err: unknown) => log.error({ err }, 'the state was not saved'));
  }

  /**
   * Saves the devices that the kernel keeps, for the next daemon, and stops: what ends from here on ends because
   * this process does.
   */
  async stop(): Promise<void> {
    const devices = this.#devices().filter(({ attach }) => attach !== null);
    this.#isStopped = true;
    await this.parts.state.save(devices);
  }

  /** Stops as well, with every device and with the sockets of those that the kernel has. */
  async handOver(): Promise<void> {
    const devices = this.#devices();
    this.#isStopped = true;
    const parted = await this.parts.attachments.part();
    const sockets = parted.flatMap(({ device, sockets }) => sockets.map((socket) => ({ device, ...socket })));
    const seconds = Math.max(1, ...devices.map(({ attach }) => attach?.deadTimeout ?? 0));
    const descriptors = sockets.map(({ fd }) => fd);
    const keeper = descriptors.length === 0 ? undefined : keepDescriptors(descriptors, seconds);
    const handover: Handover | null =
      keeper === undefined
        ? null
        : {
            keeper,
            sockets: sockets.map(({ device, leftover }) => ({
              device,
              leftover: Buffer.from(leftover).toString('base64'),
            })),
          };
    await this.parts.state.save(devices, handover);
  }

  #devices(): DeviceState[] {
    const { loops, attachments } = this.parts;
    return loops
      .devices()
      .flatMap((device) => deviceState(device.snapshot(), attachments.record(device.number)) ?? []);
  }
}
