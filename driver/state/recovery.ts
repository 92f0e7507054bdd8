/** Brings back the devices of the daemon before this one, and keeps the state up to date from then on. */

import type { Attachments, AttachRecord } from '../kernel/attachments.js';
import { backendIdentifier } from '../kernel/netlink-device.js';
import { backendOf, isConnected } from '../kernel/sysfs.js';
import type { LoopControl } from '../loop/loop-control.js';
import type { DeviceState } from './state.js';
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
const UNKNOWN_ATTACHMENT: AttachRecord = { by: 'netlink', connections: 1, timeout: 30, deadTimeout: 30 };

/**
 * Binds the files of the daemon before this one to the same devices, and takes up those that the kernel still has.
 * A device that can't be had back is logged and left out: the others matter more.
 */
export async function recover(parts: RecoveryParts): Promise<void> {
  for (const device of parts.state.previous) {
    try {
      await recoverDevice(parts, device);
    } catch (err) {
      parts.log.error({ err, device: `loop${device.number}` }, 'a device could not be brought back');
    }
  }
}

async function recoverDevice(
  { state, loops, attachments, log }: RecoveryParts,
  { number, config, attach }: DeviceState,
): Promise<void> {
  const isKept = isConnected(number) && backendOf(number) === backendIdentifier(state.daemonId, number);
  // Its last close came while no daemon was there to see it.
  if (attach !== null && !isKept && config.autoclear) return;
  await loops.ctlAdd(number);
  await loops.device(number).loopConfigure(config);
  const isResumed = isKept && (await attachments.resume(number, attach ?? UNKNOWN_ATTACHMENT));
  log.info({ device: `loop${number}`, file: config.file, attached: isResumed }, 'brought back');
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
   * Saves for the next daemon and stops: every device, or only those that the kernel keeps. What ends from here on
   * ends because this process does.
   */
  async stop(options: { readonly keep: 'all' | 'attached' }): Promise<void> {
    const devices = this.#devices().filter(({ attach }) => options.keep === 'all' || attach !== null);
    this.#isStopped = true;
    await this.parts.state.save(devices);
  }

  #devices(): DeviceState[] {
    const { loops, attachments } = this.parts;
    return loops
      .devices()
      .flatMap((device) => deviceState(device.snapshot(), attachments.record(device.number)) ?? []);
  }
}
