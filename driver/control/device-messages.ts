/** JSON types of what a device is and does. Types only, as `messages.ts`, which has them, too. */
import type { ExactNumber } from '../exact-number.js';
import type { Limits } from './bench-messages.js';

/** States of a loop device. */
export type DeviceState = 'unbound' | 'bound' | 'rundown' | 'deleting';

/** Bytes: a JSON number where it is exact, else decimal digits. */
export type Bytes = ExactNumber;

/** Requests served since the device was added, and how long they took in the server. */
export interface DeviceCounters {
  readonly inFlight: number;
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
  readonly trims: number;
  readonly writeZeroes: number;
  readonly caches: number;
  readonly blockStatuses: number;
  readonly errors: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Requests that found the queue frozen and waited. */
  readonly parked: number;
  /** Requests that had to wait for a limit, and for how long in all, milliseconds. */
  readonly throttled: number;
  readonly throttledMs: number;
  /** Requests that met a fault. */
  readonly faulted: number;
  /** Bucket i counts requests that took less than 2^i microseconds (and no less than the bucket before). */
  readonly latency: readonly number[];
}

/** One device, in any state: everything `losetup --list` can show, and where it is reached. */
export interface DeviceStatus {
  readonly number: number;
  /** `loopN`, the export's name. */
  readonly name: string;
  /**
   * Of the export while it serves this file, over restarts of the daemon; null when not bound. In the export's description,
   * behind `uuid=`.
   */
  readonly uuid: string | null;
  readonly state: DeviceState;
  /** NBD sessions (and control operations) that have the device open. */
  readonly openers: number;
  /**
   * Absolute path of the backing file as it is now, ` (deleted)` behind a name that is gone; null when not bound. Bytes
   * that are no UTF-8 are `\udc80` to `\udcff`.
   */
  readonly file: string | null;
  readonly size: number;
  readonly offset: ExactNumber;
  readonly sizeLimit: ExactNumber;
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partscan: boolean;
  readonly directIo: boolean;
  /** What the kernel calls lo_file_name: as it was given, else what 63 bytes hold of the file's name; null when not bound. */
  readonly reference: string | null;
  /** The name that the export has beside `name`; null when it has none. */
  readonly exportName: string | null;
  /** What clients are told of the export in the user's words; null when there are none. */
  readonly description: string | null;
  /** st_ino and st_dev of the backing file. */
  readonly backingInode: ExactNumber | null;
  readonly backingDevice: ExactNumber | null;
  /** Alignment in bytes that direct I/O needs on this file. */
  readonly dioAlignment: number;
  /** The delta of an overlay over the file, ` (deleted)` behind one without a name; null: there is none. */
  readonly delta: string | null;
  /** Files that the device's bytes are in: 1 where it is no overlay, 0 when not bound. */
  readonly layers: number;
  /** Grows at every change of the backing file. */
  readonly generation: number;
  /** What is odd about the file, or was asked for and is not so: sentences. */
  readonly warnings: readonly string[];
  /** `/dev/nbdN` while a kernel is attached. */
  readonly node: string | null;
  /** How much it may be asked for. */
  readonly limits: Limits;
  /** Fault rules in force. */
  readonly faults: number;
  /** Writes are durable only once a flush or FUA has asked for it. */
  readonly volatileCache: boolean;
  /** The file that every write is logged in; null: none. */
  readonly writeLog: string | null;
  /** How an NBD client reaches the export, by its own name first; the first is the one to show. */
  readonly uris: readonly string[];
  readonly counters: DeviceCounters;
}

/** A device of an earlier daemon that could not be brought back. Its number is kept, and no export has its name. */
export interface UnrecoveredDevice {
  readonly number: number;
  readonly name: string;
  readonly uuid: string;
  /** The name that is kept for its export; null when it had none. */
  readonly exportName: string | null;
  /** Where its file was. */
  readonly file: string;
  /** Why: ESTALE for another file by now, EBADF for one that is not there, EBUSY for one that another daemon has. */
  readonly errno: string;
  readonly message: string;
  /** `/dev/nbdN` while the kernel still has it. */
  readonly node: string | null;
}

/** One change of a device, announced after it happened. */
export interface DeviceEvent {
  readonly device: number;
  readonly kind: 'add' | 'bind' | 'unbind' | 'change' | 'remove';
  readonly sequence: number;
  /** Without counters and addresses: they are not what changed. */
  readonly status: Omit<
    DeviceStatus,
    'counters' | 'uris' | 'node' | 'limits' | 'faults' | 'volatileCache' | 'writeLog'
  >;
}

/** Of GET /devices/N/freezes, the latest first: a time in which no request of the device was begun. */
export interface DeviceFreeze {
  /** Counts the device's freezes from 1 on. */
  readonly number: number;
  /** When it began, milliseconds since 1970. */
  readonly at: number;
  /** The task that wanted it, as GET /lockdep names tasks. */
  readonly by: string;
  /** Milliseconds until the requests in flight had ended; null: they have not. */
  readonly drained: number | null;
  /** Milliseconds that it took, and so the longest that a request waited; null: it is on. */
  readonly held: number | null;
  /** Requests that came meanwhile, and waited. */
  readonly waited: number;
}
