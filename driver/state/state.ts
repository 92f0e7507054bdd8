/** What a daemon leaves behind for the next one: devices, their files and parameters, and their attachments. */

import type { AttachRecord } from '../kernel/attachments.js';
import type { Kept } from '../kernel/keeper.js';
import type { LoopConfig, LoopStatus } from '../loop/types.js';

export const STATE_VERSION = 1;

export interface DeviceState {
  readonly number: number;
  readonly config: Required<
    Omit<LoopConfig, 'offset' | 'sizeLimit' | 'identity' | 'through' | 'exclusive'>
  > & {
    readonly offset: number;
    readonly sizeLimit: number;
  };
  /** Null while the device is not in the kernel. */
  readonly attach: AttachRecord | null;
}

/** Sockets that were handed over; `sockets` tells of each of the keeper's descriptors whose it is. */
export interface Handover {
  readonly keeper: Kept;
  readonly sockets: readonly {
    readonly device: number;
    /** What was received and not served, in base64. */
    readonly leftover: string;
  }[];
}

export interface DaemonState {
  readonly version: typeof STATE_VERSION;
  /** Of the kernel that holds the devices: the state dies with it. */
  readonly bootId: string;
  /** By this the kernel's devices are known: see `backendIdentifier`. */
  readonly daemonId: string;
  readonly devices: readonly DeviceState[];
  readonly handover: Handover | null;
}

/** The state of a bound device; undefined for any other. */
export function deviceState(status: LoopStatus, attach: AttachRecord | undefined): DeviceState | undefined {
  const { number, state, file, offset, sizeLimit, blockSize } = status;
  if (state !== 'bound' || file === null) return undefined;
  const { readOnly, autoclear, partscan, directIo, reference } = status;
  return {
    number,
    config: {
      ...{ file, offset, sizeLimit, blockSize, readOnly, autoclear, partscan, directIo },
      reference: reference ?? '',
    },
    attach: attach ?? null,
  };
}

/** A state of this kernel's life, or undefined: what a crash or a stranger left there is not trusted. */
export function parseState(text: string, bootId: string): DaemonState | undefined {
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(state) || state.version !== STATE_VERSION || state.bootId !== bootId) return undefined;
  const { daemonId, devices, handover } = state;
  if (typeof daemonId !== 'string' || !Array.isArray(devices) || !devices.every(isDevice)) return undefined;
  return {
    version: STATE_VERSION,
    bootId,
    daemonId,
    devices,
    handover: isHandover(handover) ? handover : null,
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const isDevice = (value: unknown): value is DeviceState =>
  isRecord(value) &&
  Number.isSafeInteger(value.number) &&
  isRecord(value.config) &&
  typeof value.config.file === 'string' &&
  (value.attach === null || (isRecord(value.attach) && Number.isSafeInteger(value.attach.connections)));

const isHandover = (value: unknown): value is Handover =>
  isRecord(value) &&
  isRecord(value.keeper) &&
  Number.isSafeInteger(value.keeper.pid) &&
  Array.isArray(value.keeper.descriptors) &&
  Array.isArray(value.sockets);
