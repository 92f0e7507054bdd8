/** Devices that could not be brought back, and whether the kernel still has them. */

import { LoopError } from '../errno.js';
import type { AttachRecord } from '../kernel/attach-record.js';
import { backendIdentifier, backendPrefix } from '../kernel/backend-identifier.js';
import { backendOf, isConnected, nodePath } from '../kernel/sysfs.js';
import type { DeviceRecord } from './state.js';

/** A device that could not be brought back. */
export interface Unrecovered {
  readonly number: number;
  readonly name: string;
  /** Of the binding, as clients know it. */
  readonly uuid: string;
  /** The name that is kept for its export; null when it had none. */
  readonly exportName: string | null;
  /** Where its file was. */
  readonly file: string;
  /** Why: an errno name, and a sentence that says which file was meant and which is there. */
  readonly errno: string;
  readonly message: string;
  /** `/dev/nbdN` where the kernel still has it: its users wait, or get I/O errors. */
  readonly node: string | null;
}

/** What is known of one, and why it is down. */
export interface Down {
  readonly record: DeviceRecord;
  readonly errno: string;
  readonly message: string;
}

/** For a device whose daemon died between the attachment and the note of it. */
export const UNKNOWN_ATTACHMENT: AttachRecord = {
  by: 'netlink',
  connections: 1,
  timeout: 0,
  deadTimeout: 30,
};

/** The kernel had it, and its last close ends it. */
export const isLeftToLastClose = ({ attach, attachAgain, autoclear }: DeviceRecord): boolean =>
  attach !== null && !attachAgain && autoclear;

/** The kernel has the very attachment of this binding. */
export const kernelHas = (daemonId: string, { number, id }: DeviceRecord): boolean =>
  isConnected(number) && backendOf(number) === backendIdentifier(daemonId, number, id);

/** Throws EBUSY where the kernel has a device of ours with another binding: the record is not what was there last. */
export function refuseStranger(daemonId: string, { number, id }: DeviceRecord): void {
  const backend = isConnected(number) ? backendOf(number) : undefined;
  if (backend?.startsWith(backendPrefix(daemonId, number)) !== true) return;
  if (backend === backendIdentifier(daemonId, number, id)) return;
  throw new LoopError('EBUSY', `${nodePath(number)} was attached for another file than is recorded.`);
}
