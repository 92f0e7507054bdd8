/** What the control server drives: the seams to the loop devices, the kernel and the daemon, for it and its tests. */

import type { ErrnoName } from '../errno.js';
import type { FileIdentity } from '../io/file-identity.js';
import type {
  AttachRequest,
  ConnectionInfo,
  CopyAnswer,
  DaemonInfo,
  DeviceEvent,
  DeviceFreeze,
  FaultEvent,
  FaultRule,
  FaultState,
  LayerAnswer,
  Limits,
  LimitsChange,
  LockdepAnswer,
  OverlayRequest,
  PageAddress,
  PowerCutAnswer,
  PowerCutRequest,
  RemoteAttachRequest,
  RemoteState,
  SnapshotAnswer,
  SnapshotRequest,
  UnrecoveredDevice,
} from './messages.js';

/** A device as the control server uses it: LoopDevice's operations (docs/architecture.md). */
export interface ControlledDevice {
  readonly number: number;
  readonly name: string;
  /** NBD sessions (and control operations) that have it open. */
  readonly openers: number;
  readonly queue: { readonly shared: SharedArrayBuffer; readonly freezes: ControlledFreezes };
  loopConfigure(config: LoopConfigFields): Promise<void>;
  loopChangeFd(file: string, meant?: MeantFileFields): Promise<void>;
  loopClrFd(options?: { force?: boolean }): Promise<'cleared' | 'deferred' | 'hanging'>;
  loopSetStatus(settings: LoopSettingsFields): Promise<void>;
  loopGetStatus(): Promise<LoopStatusFields>;
  describe(): Promise<LoopStatusFields>;
  /** Resolves when no operation of the device is under way. */
  idle(): Promise<void>;
  loopSetCapacity(): Promise<void>;
  loopSetDio(on: boolean): Promise<void>;
  loopResetDirty(): Promise<void>;
  loopSetBlockSize(bytes: number): Promise<void>;
  /** ENXIO. */
  layers(): readonly LayerFields[];
  move(file: string, wish: { rate: number }): Promise<void>;
  flatten(file: string | undefined, wish: { rate: number }): Promise<void>;
  commit(wish: { rate: number }): Promise<void>;
  copyStatus(): CopyAnswer | null;
  cancelCopy(): Promise<void>;
  loopFaults(): FaultState[];
  loopSetFaults(rules: readonly FaultRule[]): Promise<void>;
  loopAddFaults(rules: readonly FaultRule[]): Promise<void>;
  loopRemoveFaults(ids: readonly string[]): Promise<void>;
  loopReleaseFaults(id?: string): Promise<void>;
  loopLimits(): Limits;
  loopSetLimits(change: LimitsChange): Promise<void>;
  readonly volatileCache: boolean;
  readonly writeLog: string | null;
  loopSetVolatile(on: boolean): Promise<void>;
  loopSetLog(file: string | null): Promise<void>;
  loopMark(name: string): Promise<void>;
  loopPowerCut(how: PowerCutRequest, sever: () => Promise<boolean>): Promise<PowerCutAnswer>;
}

/** The freezes of a queue: driver/queue/freeze-log.ts. */
export interface ControlledFreezes {
  readonly count: number;
  readonly seconds: number;
  readonly isFrozen: boolean;
  list(): DeviceFreeze[];
}

/** A layer as the driver tells it. */
export type LayerFields = Omit<LayerAnswer, 'inode' | 'device' | 'heldBytes'> & {
  readonly identity: Pick<FileIdentity, 'inode' | 'device'>;
};

/** The registry as the control server uses it: LoopControl. */
export interface ControlledLoops {
  ctlAdd(number?: number): Promise<number>;
  ctlRemove(number: number): Promise<void>;
  ctlGetFree(): Promise<number>;
  findAndConfigure(config: LoopConfigFields): Promise<LoopStatusFields>;
  snapshot(targets: SnapshotRequest['devices']): Promise<SnapshotAnswer[]>;
  /** Throws ENODEV. */
  device(number: number): ControlledDevice;
  devices(): readonly ControlledDevice[];
  readonly events: {
    on(event: 'change', listener: (event: LoopEventFields) => void): unknown;
    off(event: 'change', listener: (event: LoopEventFields) => void): unknown;
    on(event: 'fault', listener: (event: FaultEvent) => void): unknown;
    off(event: 'fault', listener: (event: FaultEvent) => void): unknown;
  };
}

/** A device's state: DeviceStatus without what only the daemon knows. */
export type LoopStatusFields = Omit<
  DeviceEvent['status'],
  'offset' | 'sizeLimit' | 'backingInode' | 'backingDevice'
> & {
  readonly offset: number | bigint;
  readonly sizeLimit: number | bigint;
  readonly backingInode: bigint | null;
  readonly backingDevice: bigint | null;
};

export type LoopEventFields = Omit<DeviceEvent, 'status'> & { readonly status: LoopStatusFields };

/** What the caller means by a file, as the driver takes it. */
export interface MeantFileFields {
  identity?: FileIdentity;
  through?: string;
  exclusive?: boolean;
}

export interface LoopSettingsFields {
  offset?: number | bigint;
  sizeLimit?: number | bigint;
  autoclear?: boolean;
  partscan?: boolean;
  exportName?: string;
  description?: string;
}

export interface LoopConfigFields extends LoopSettingsFields, MeantFileFields {
  file: string;
  blockSize?: number;
  readOnly?: boolean;
  directIo?: boolean;
  reference?: string;
  overlay?: OverlayRequest;
  faults?: readonly FaultRule[];
  limits?: LimitsChange;
  volatileCache?: boolean;
  logWrites?: string;
}

/** Devices in the kernel: driver/kernel/attachments.ts. */
export interface ControlledAttachments {
  /** `/dev/nbdN` while a kernel is attached to device N. */
  node(device: number): string | null;
  /** EBUSY already attached; EPERM, ENODEV, ENOENT where it cannot work here. */
  attach(device: number, request: AttachRequest): Promise<string>;
  /** ENXIO not attached; EBUSY in use, unless `force`. */
  detach(device: number, options?: { force?: boolean }): Promise<void>;
  /** The kernel lets go at the last close of the node: true when it has already, because nobody had it open. */
  detachAtLastClose(device: number): Promise<boolean>;
  /** True while anybody has the node open, in whatever way: a mount, a device built on it, a program. */
  inUse(device: number): Promise<boolean>;
  /** True while a mount, a device built on it or a program claims the node for itself. */
  isClaimed(device: number): Promise<boolean>;
  /** Who that is, to end a sentence with. */
  users(device: number): Promise<string>;
  /** The backing file changed size: tells the kernel. EBUSY when partitions in use are not of the new size. */
  resized(device: number, size: number): Promise<void>;
  /** A device that the kernel kept when its file was let go of by force is bound again. */
  rebound(device: number, described: { size: number; autoclear: boolean }): Promise<void>;
  /** The device is about to have limits, for which requests wait, or has none any more. */
  limited(device: number, isLimited: boolean): Promise<void>;
  /** Another file, or another part of it, is behind the device. */
  contentChanged(device: number): Promise<void>;
  /**
   * Autoclear was set or taken away: with it, the last close of the node ends the attachment. False when the device
   * is not attached.
   */
  disconnectOnClose(device: number, on: boolean): Promise<boolean>;
}

/** Devices that could not be brought back: driver/state/recovery.ts. */
export interface ControlledRecovery {
  list(): UnrecoveredDevice[];
  isDown(number: number): boolean;
  /** ENODEV, EBUSY; ESTALE for another file than was meant, unless `force`. */
  recover(number: number, options: { readonly file?: string; readonly force?: boolean }): Promise<void>;
  /** Frees its number: now, or when the last user of the kernel's device has closed it, unless `force`. */
  giveUp(number: number, options: { readonly force: boolean }): Promise<'cleared' | 'deferred'>;
}

/** The page of this daemon: driver/web. */
export interface ControlledPage {
  address(): PageAddress;
  /** The present token is good for nothing from then on. */
  renewToken(): Promise<void>;
}

/** A device of another host: driver/remote/remote-device.ts. */
export interface RemoteFields {
  readonly record: {
    readonly number: number;
    readonly uris: readonly string[];
    readonly connections: number;
    readonly timeout: number;
    readonly deadTimeout: number;
    readonly facts: {
      readonly size: number;
      readonly uuid: string | null;
      readonly description: string | null;
    };
  };
  readonly state: RemoteState;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly address: { readonly uri: string };
  readonly problem: ErrnoError | null;
  readonly losses: number;
  /** Milliseconds. */
  readonly awayMs: number;
  readonly transitions: readonly {
    readonly from: RemoteState;
    readonly to: RemoteState;
    readonly at: number;
    readonly message: string | null;
  }[];
  readonly isInKernel: boolean;
  readonly isReadOnly: boolean;
}

/** Devices of other hosts: driver/remote/remotes.ts. */
export interface ControlledRemotes {
  list(): readonly RemoteFields[];
  /** Throws ENODEV. */
  get(number: number): RemoteFields;
  attach(uris: readonly string[], options: Omit<RemoteAttachRequest, 'uris'>): Promise<RemoteFields>;
  /** ENODEV; EBUSY in use, unless `force`. */
  detach(number: number, options: { readonly force?: boolean }): Promise<void>;
  readonly events: {
    on(event: 'change', listener: (number: number, remote: RemoteFields | null) => void): unknown;
    off(event: 'change', listener: (number: number, remote: RemoteFields | null) => void): unknown;
  };
}

export interface ControlLog {
  error(fields: object, message: string): void;
  info(fields: object, message: string): void;
}

export interface ControlContext {
  readonly loops: ControlledLoops;
  readonly attachments: ControlledAttachments;
  readonly recovery: ControlledRecovery;
  readonly remotes: ControlledRemotes;
  /** Reads through a device's export, and asks for its lock. Throws why that fails. */
  probe(number: number): Promise<void>;
  readonly log: ControlLog;
  /** How a client reaches an export, best first. */
  uris(name: string): readonly string[];
  daemon(): DaemonInfo;
  connections(): readonly ConnectionInfo[];
  /** Null: it serves none. */
  readonly page: ControlledPage | null;
  /** Reads the daemon's settings anew. Rejects with why they cannot be used. */
  reload(): Promise<void>;
  lockdep(): LockdepAnswer;
  /** Ends every session of a device; resolves when they are gone, or with false where one hangs. */
  endSessions(device: number, reason: string): Promise<boolean>;
  /** Another daemon takes over: this one ends once the answer has left, and leaves everything in the kernel. */
  handOver(): void;
}

/** An error that any layer below may throw: an errno name and a sentence. */
export interface ErrnoError extends Error {
  readonly errno: ErrnoName;
}
