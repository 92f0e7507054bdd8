/** What the loop driver takes and tells. All sizes and positions are bytes. */

import type { FileIdentity } from '../io/file-identity.js';
import type { LockOrder } from '../locks/lock-order.js';
import type { FaultEvent, GivenRule } from '../store/faults/rule.js';
import type { LimitsChange } from '../store/limits/limits.js';
import type { WantedOverlay } from './overlay/wanted.js';

export type { FaultEvent, FaultHit, FaultState } from '../store/faults/rule.js';

/**
 * The kernel's Lo_unbound, Lo_bound, Lo_rundown, Lo_deleting: without a file; serving one; letting one go (new
 * requests fail, a new binding is refused); about to be removed.
 */
export type LoopState = 'unbound' | 'bound' | 'rundown' | 'deleting';

/** Which file, and what the caller means by it. */
export interface WantedFile {
  /** A name; bytes that are no UTF-8 are U+DC80 to U+DCFF (driver/file-name.ts). */
  readonly file: string;
  /** What the caller sees under that name. ESTALE where another file is there. */
  readonly identity?: FileIdentity;
  /**
   * Another way to the same file, taken where it leads to it: `/proc/PID/fd/N`, for one that only the caller sees. Counts
   * with `identity` only.
   */
  readonly through?: string;
  /** EBUSY where another program holds an image lock against it (qemu's); else that is a warning. */
  readonly exclusive?: boolean;
}

/** Arguments of `loopConfigure`, the kernel's LOOP_CONFIGURE. */
export interface LoopConfig extends WantedFile {
  /** Where the device starts in the file: 0 to 2^63 - 1. */
  readonly offset?: number | bigint;
  /** Most bytes of the file that the device shows: 0 (no limit) to 2^63 - 1. */
  readonly sizeLimit?: number | bigint;
  /** A power of two, 512 to 4096. Default: 512, or with `directIo` what that needs. */
  readonly blockSize?: number;
  readonly readOnly?: boolean;
  readonly autoclear?: boolean;
  readonly partscan?: boolean;
  /** Asked for, not demanded: where the file can't have it, the device is bound without. */
  readonly directIo?: boolean;
  /** The kernel's lo_file_name: a name of the user's own, at most 63 bytes. Default, also when empty: the file's. */
  readonly reference?: string;
  /**
   * A name of its own for the export, beside `loopN`: at most 4096 bytes of UTF-8 without control characters, unlike any
   * other export's; not `loop` and a number, not `*`, not ending in `:ro`. Empty: none.
   */
  readonly exportName?: string;
  /** A uuid for the binding, the same wherever the file is bound under its name; a new one unless told. */
  readonly id?: string;
  /** Another host may take the file: any doubt that it is ours takes the device down. */
  readonly fenced?: boolean;
  /** What clients are told of the export: at most 4053 bytes of UTF-8 on one line. Empty, and by default: the file's name. */
  readonly description?: string;
  /** The file is the base of an overlay, and is not written. */
  readonly overlay?: WantedOverlay;
  /** Fault rules: of this binding, and gone with it. */
  readonly faults?: readonly GivenRule[];
  readonly limits?: LimitsChange;
  /** Writes are durable only once a flush or FUA has asked for it: for `loopPowerCut`. */
  readonly volatileCache?: boolean;
  /** A file that every write is logged in, in the format of dm-log-writes; it is made, or emptied. */
  readonly logWrites?: string;
}

/** Arguments of `loopSetStatus`, the kernel's LOOP_SET_STATUS64. What is left out stays as it is. */
export interface LoopSettings {
  readonly offset?: number | bigint;
  readonly sizeLimit?: number | bigint;
  readonly autoclear?: boolean;
  /** Can be set; setting it to false changes nothing. */
  readonly partscan?: boolean;
  /** As in `LoopConfig`; an empty one takes the name away. Sessions go on, whatever it is. */
  readonly exportName?: string;
  readonly description?: string;
}

/** All that can be told of a device at one moment. */
export interface LoopStatus {
  readonly number: number;
  /** 'loop' and the number: also the name of its export. */
  readonly name: string;
  /**
   * Of the binding, and so of the export: stays the same until the device lets go of the file, also over restarts of the
   * daemon; null when there is none. Clients find it in the export's description.
   */
  readonly uuid: string | null;
  readonly state: LoopState;
  readonly openers: number;
  /**
   * Absolute path of the backing file as it is now: it follows a rename, and ends in ` (deleted)` when that name is gone.
   * Null when there is no file.
   */
  readonly file: string | null;
  readonly size: number;
  /** A bigint only beyond 2^53 - 1. */
  readonly offset: number | bigint;
  readonly sizeLimit: number | bigint;
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partscan: boolean;
  readonly directIo: boolean;
  /** The kernel's lo_file_name: as it was given, else the first 63 bytes of the file's name when it was bound. */
  readonly reference: string | null;
  /** Of the export, beside `name`; null when it has none. */
  readonly exportName: string | null;
  /** What clients are told of the export in the user's words; null when there are none. */
  readonly description: string | null;
  /** st_ino and st_dev of the backing file. */
  readonly backingInode: bigint | null;
  readonly backingDevice: bigint | null;
  /** What direct I/O needs the offset and the block size to be multiples of; 512 when there is no file. */
  readonly dioAlignment: number;
  /** The delta of an overlay, as it is now; ` (deleted)` for one without a name; null: no overlay. */
  readonly delta: string | null;
  /** Files that the device's bytes are in, from the delta to the base: 1 where it is no overlay, 0 when not bound. */
  readonly layers: number;
  /** Grows with every change that the data path can see. */
  readonly generation: number;
  /** What is odd about the file, or was asked for and is not so: sentences for the user. */
  readonly warnings: readonly string[];
}

/** Something that has happened to a device. */
export interface LoopEvent {
  readonly device: number;
  readonly kind: 'add' | 'bind' | 'unbind' | 'change' | 'remove';
  /** Grows by one an event, over all devices. */
  readonly sequence: number;
  /** The device at the moment of the event. */
  readonly status: LoopStatus;
}

/** Events of a `LoopControl`, for its EventEmitter. */
export interface LoopEvents {
  change: [LoopEvent];
  fault: [FaultEvent];
}

/** Where the driver logs; a pino logger is one. */
export interface Logger {
  debug(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface LoopControlOptions {
  readonly order?: LockOrder;
  readonly log?: Logger;
  /** Runs after a device was thawed: parked requests may try again. */
  readonly onThaw?: () => void;
  /**
   * True when /dev/nbdN, which exists, is device N of this registry. Default: always. It keeps a device from being
   * its own backing file, so a wrong `true` refuses a file, and a wrong `false` may hang.
   */
  readonly isAttached?: (number: number) => boolean;
  /**
   * True when somebody else has /dev/nbdN, so that device N could not be attached. It is passed by wherever a number is
   * not asked for. Default: never.
   */
  readonly isTaken?: (number: number) => boolean;
}
