/**
 * What a daemon leaves behind for the next one: which device serves which file, how, and how the kernel has it. A record
 * tells what a device is: the number, the binding's id, and the identity of the file; the file's name only says where to
 * look for it.
 */

import { isDeepStrictEqual } from 'node:util';
import type { SessionState } from '../../server/parted-session.js';
import { type FileIdentity, identityFromJson, identityToJson } from '../io/file-identity.js';
import type { AttachRecord } from '../kernel/attach-record.js';
import type { Kept } from '../kernel/keeper.js';
import type { Binding, Superseded } from '../loop/binding.js';
import { type ExportText, NO_TEXT } from '../loop/export-names.js';
import { limitsAmong } from '../loop/limits.js';
import type { Parameters } from '../loop/parameters.js';
import { type RemoteRecord, remoteFromJson } from '../remote/record.js';
import { changedLimits } from '../store/limits/check-limits.js';
import { type Limits, limitsAnything, NO_LIMITS } from '../store/limits/limits.js';

const STATE_VERSION = 2;

export interface DeviceRecord extends Parameters, ExportText {
  readonly number: number;
  /** Of the binding, which the kernel's device tells, too. */
  readonly id: string;
  /** Absolute path at the time of binding. */
  readonly file: string;
  readonly identity: FileIdentity;
  /** What the user calls it (LO_FILE_NAME). */
  readonly reference: string;
  /** Of the device, bytes: those who use it count on it. */
  readonly size: number;
  /** Where the file is, if it is not at `file`: it was about to be renamed. */
  readonly alsoAt?: string;
  /** A delta whose content the file has by now: it may still be there by its name. */
  readonly superseded?: Superseded;
  /** The file is the base of an overlay; null: it is served itself. */
  readonly overlay: OverlayRecord | null;
  /** Null while the device is not in the kernel. */
  readonly attach: AttachRecord | null;
  /** The daemon took it out of the kernel when it ended: the next one attaches it again. */
  readonly attachAgain: boolean;
  /** Another host may take the file; absent: none does. */
  readonly fenced?: boolean;
  /** How much it may be asked for; absent: as much as anybody likes. */
  readonly limits?: Limits;
}

/** Which delta an overlay has. */
export interface OverlayRecord {
  /** Absolute path at the time of binding; ` (deleted)` behind one that has no name. */
  readonly delta: string;
  readonly identity: FileIdentity;
  readonly temporary: boolean;
  /** The delta that takes its place at this moment, under the same name: it is there, or not yet. */
  readonly next: FileIdentity | null;
}

/** What each of the keeper's descriptors is. */
export type Handed =
  | {
      readonly device: number;
      readonly kind: 'socket';
      /** What was received and not served, in base64. */
      readonly leftover: string;
    }
  | ({
      readonly device: number;
      readonly kind: 'session';
      readonly leftover: string;
    } & SessionState)
  /** Of an overlay the file is its delta, and the layers below it follow from above. */
  | { readonly device: number; readonly kind: 'file' | 'lock' | 'layer' };

/** Descriptors that were handed over. */
export interface Handover {
  readonly keeper: Kept;
  readonly descriptors: readonly Handed[];
  /** Sessions of clients, which wait less long for the next daemon. */
  readonly clients?: Handover;
}

export interface DaemonState {
  /** Of the kernel that holds the devices: the state dies with it. */
  readonly bootId: string;
  /** By this the kernel's devices are known: see `backendIdentifier`. */
  readonly daemonId: string;
  readonly devices: readonly DeviceRecord[];
  readonly handover: Handover | null;
  /** Devices of other hosts. */
  readonly remotes: readonly RemoteRecord[];
}

/** The record of a binding; how the kernel has it stays as before where it is the same one. */
export function recordOf(number: number, binding: Binding, before: DeviceRecord | undefined): DeviceRecord {
  const { id, file, size, offset, sizeLimit, blockSize } = binding;
  const { readOnly, autoclear, partscan, directIo, reference, exportName, description } = binding;
  const isKept = before?.id === id;
  const limits = limitsAmong(binding.wrappers);
  return {
    ...{ number, id, file: file.path, identity: file.identity, size },
    ...{ offset, sizeLimit, blockSize, readOnly, autoclear, partscan, directIo },
    ...{ reference, exportName, description },
    overlay: overlayOf(binding),
    ...(binding.alsoAt !== undefined && { alsoAt: binding.alsoAt }),
    ...(binding.superseded !== undefined && { superseded: binding.superseded }),
    attach: isKept ? before.attach : null,
    attachAgain: isKept && before.attachAgain,
    ...(binding.isFenced && { fenced: true }),
    ...(limitsAnything(limits) && { limits }),
  };
}

function overlayOf({ file: { overlay }, nextDelta }: Binding): OverlayRecord | null {
  if (overlay === undefined) return null;
  const { delta, deltaIdentity: identity, isTemporary: temporary } = overlay;
  return { delta, identity, temporary, next: nextDelta ?? null };
}

/** JSON, with a line for each device. */
export function stateText({ bootId, daemonId, devices, handover, remotes }: DaemonState): string {
  const rest = JSON.stringify({ version: STATE_VERSION, bootId, daemonId, handover, remotes });
  return `${rest.slice(0, -1)},"devices":[\n${devices.map(deviceText).join(',\n')}\n]}\n`;
}

/** A record is replaced and never changed, so its text is made once: all of them are written for a change of one. */
const deviceTexts = new WeakMap<DeviceRecord, string>();

function deviceText(record: DeviceRecord): string {
  const text = deviceTexts.get(record) ?? JSON.stringify(deviceToJson(record));
  deviceTexts.set(record, text);
  return text;
}

/** A state of this kernel's life, or undefined: what a crash or a stranger left there is not trusted. */
export function parseState(text: string, bootId: string): DaemonState | undefined {
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(state) || state.version !== STATE_VERSION || state.bootId !== bootId) return undefined;
  const { daemonId, handover } = state;
  if (typeof daemonId !== 'string' || !Array.isArray(state.devices)) return undefined;
  const devices = state.devices.map(deviceFromJson);
  if (!devices.every((device) => device !== undefined)) return undefined;
  // A daemon that knew none wrote none.
  const remotes = (Array.isArray(state.remotes) ? state.remotes : []).map(remoteFromJson);
  if (!remotes.every((remote) => remote !== undefined)) return undefined;
  return { bootId, daemonId, devices, handover: isHandover(handover) ? handover : null, remotes };
}

/** Offsets may be beyond 2^53: they are decimal digits. */
function deviceToJson({ offset, sizeLimit, identity, overlay, superseded, ...rest }: DeviceRecord): object {
  return {
    ...rest,
    ...(superseded && { superseded: { ...superseded, identity: identityToJson(superseded.identity) } }),
    overlay: overlay && {
      ...overlay,
      identity: identityToJson(overlay.identity),
      next: overlay.next && identityToJson(overlay.next),
    },
    offset: String(offset),
    sizeLimit: String(sizeLimit),
    identity: identityToJson(identity),
  };
}

const FLAGS = ['readOnly', 'autoclear', 'partscan', 'directIo', 'attachAgain'] as const;
const NUMBERS = ['number', 'size', 'blockSize'] as const;
const TEXTS = ['id', 'file', 'reference'] as const;
/** Null, or absent in what 0.2.0 wrote. */
const MAYBE_TEXTS = ['exportName', 'description'] as const;
const DIGITS = ['offset', 'sizeLimit'] as const;

function deviceFromJson(json: unknown): DeviceRecord | undefined {
  if (!isObject(json)) return undefined;
  const identity = identityFromJson(json.identity);
  const overlay = overlayFromJson(json.overlay);
  const superseded = supersededFromJson(json.superseded);
  const { attach } = json;
  const isWhole =
    identity !== undefined &&
    overlay !== undefined &&
    FLAGS.every((key) => typeof json[key] === 'boolean') &&
    NUMBERS.every((key) => Number.isSafeInteger(json[key])) &&
    TEXTS.every((key) => typeof json[key] === 'string') &&
    DIGITS.every((key) => /^\d{1,20}$/.test(String(json[key]))) &&
    MAYBE_TEXTS.every((key) => ['string', 'undefined'].includes(typeof (json[key] ?? undefined))) &&
    (json.limits === undefined || isLimits(json.limits)) &&
    (attach === null || (isObject(attach) && Number.isSafeInteger(attach.connections)));
  if (!isWhole) return undefined;
  const { offset, sizeLimit, superseded: _, ...rest } = json as unknown as DeviceRecord;
  const exact = { offset: BigInt(offset), sizeLimit: BigInt(sizeLimit) };
  return { ...NO_TEXT, ...rest, ...exact, identity, overlay, ...(superseded && { superseded }) };
}

function isLimits(json: unknown): boolean {
  try {
    return isObject(json) && isDeepStrictEqual(changedLimits(NO_LIMITS, json), json);
  } catch {
    return false;
  }
}

function supersededFromJson(json: unknown): Superseded | undefined {
  if (!isObject(json) || typeof json.path !== 'string') return undefined;
  const identity = identityFromJson(json.identity);
  return identity && { path: json.path, identity };
}

/** Undefined for what is none. */
function overlayFromJson(json: unknown): OverlayRecord | null | undefined {
  if (json === null || json === undefined) return null;
  if (!isObject(json)) return undefined;
  const identity = identityFromJson(json.identity);
  const next = json.next === null ? null : identityFromJson(json.next);
  const { delta, temporary } = json;
  if (identity === undefined || next === undefined) return undefined;
  if (typeof delta !== 'string' || typeof temporary !== 'boolean') return undefined;
  return { delta, identity, temporary, next };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const isHandover = (value: unknown): value is Handover =>
  isObject(value) &&
  isObject(value.keeper) &&
  Number.isSafeInteger(value.keeper.pid) &&
  Array.isArray(value.keeper.descriptors) &&
  Array.isArray(value.descriptors) &&
  (value.clients === undefined || isHandover(value.clients));
