/**
 * What travels over the control socket: the JSON types, shared by server and client. Types only;
 * the schemas are in `schemas.ts`.
 *
 * Sizes and offsets are bytes. A size beyond 2^53 - 1 travels as a string of decimal digits.
 */

import type { ExactNumber } from '../exact-number.js';
import type { LockdepSnapshot } from '../locks/snapshot.js';
import type { FaultEvent, FaultRule, Limits, LimitsChange } from './bench-messages.js';
import type { OverlayRequest } from './overlay-messages.js';
import type { RemoteEvent } from './remote-messages.js';

export type * from './bench-messages.js';
export type * from './overlay-messages.js';
export type * from './remote-messages.js';

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
  readonly offset: number;
  readonly sizeLimit: number;
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

/** Body of POST /devices/N/recover. */
export interface RecoverRequest {
  /** Absolute path, where the file is not where it was. */
  readonly file?: string;
  /** Takes another file than was meant, of the same size: the caller vouches for it. */
  readonly force?: boolean;
}

/** Body of POST /devices. Without a number, the lowest unused one. */
export interface AddRequest {
  readonly number?: number;
}

/** Answer of POST /devices and GET /devices/free. */
export interface DeviceNumber {
  readonly number: number;
  readonly name: string;
}

/** What a caller sees of a file: numbers of stat(2), exact. */
export interface MeantIdentity {
  readonly device: ExactNumber;
  readonly inode: ExactNumber;
  /** Nanoseconds since 1970. */
  readonly birthTime?: ExactNumber;
  /** st_rdev of a block device: then that counts, not the node. */
  readonly blockDevice?: ExactNumber;
}

/** Which file. */
export interface MeantFile {
  /** Absolute path; bytes that are no UTF-8 are `\udc80` to `\udcff`. */
  readonly file: string;
  /** What the caller sees under that name. ESTALE where the daemon sees another file there. */
  readonly identity?: MeantIdentity;
  /**
   * A descriptor of the calling process that has this file open, O_PATH or better, until the answer comes: so a file that
   * the daemon can't find by name can be had, too. Counts with `identity` only, and where the daemon may look into
   * /proc/PID/fd of the caller.
   */
  readonly descriptor?: number;
  /** EBUSY where another program holds an image lock (qemu's) against it; else that is a warning. */
  readonly exclusive?: boolean;
}

/** What an export is called, and what is said of it; an empty text takes away what there was. */
export interface ExportWords {
  /**
   * A name beside `loopN`: at most 4096 bytes of UTF-8 on one line, unlike any other export's (EEXIST), and not `loop` and a
   * number, `*`, or ending in `:ro` (EINVAL).
   */
  readonly exportName?: string;
  /** At most 4053 bytes of UTF-8 on one line. Default: `loopN` and the file. */
  readonly description?: string;
}

/** Body of PUT /devices/N/backing. */
export interface ConfigureRequest extends MeantFile, ExportWords {
  readonly offset?: Bytes;
  /** 0: no limit. */
  readonly sizeLimit?: Bytes;
  /** A power of two, 512 to 4096. */
  readonly blockSize?: number;
  readonly readOnly?: boolean;
  readonly autoclear?: boolean;
  readonly partscan?: boolean;
  readonly directIo?: boolean;
  /** A name of the user's own, at most 63 bytes, for links in /dev/disk/by-loop-ref. Default: the file's. */
  readonly reference?: string;
  /** The file is the base of an overlay: it is not written, and what is written goes into a delta. */
  readonly overlay?: OverlayRequest;
  /**
   * Refuse (EEXIST) a file of whose range a device already serves a part. POST /devices/find returns a device that serves
   * exactly this range instead of a new one, unless it is read-only and writing is wanted.
   */
  readonly noOverlap?: boolean;
  /** Fault rules, of this binding and gone with it. */
  readonly faults?: readonly FaultRule[];
  readonly limits?: LimitsChange;
  /** Writes are durable only once a flush or FUA has asked for it: for a power cut. */
  readonly volatileCache?: boolean;
  /** Absolute path: every write is logged there, in the format of dm-log-writes. The file is made, or emptied. */
  readonly logWrites?: string;
}

/** Body of POST /devices/find. */
export type FindRequest = ConfigureRequest;

/** Body of PATCH /devices/N/backing. */
export type ChangeFileRequest = MeantFile;

/** Answer of DELETE /devices/N/backing. Deferred: sessions have the device open; the last close clears it. */
export interface ClearAnswer {
  /**
   * 'deferred': its last close clears it. 'hanging', of a clear by force: its file system does not answer, and it lets go
   * when that does.
   */
  readonly outcome: 'cleared' | 'deferred' | 'hanging';
}

/** Body of PATCH /devices/N. */
export interface SettingsRequest extends ExportWords {
  readonly offset?: Bytes;
  readonly sizeLimit?: Bytes;
  readonly autoclear?: boolean;
  readonly partscan?: boolean;
}

/** Body of PUT /devices/N/direct-io. */
export interface DirectIoRequest {
  readonly on: boolean;
}

/** Body of PUT /devices/N/block-size. */
export interface BlockSizeRequest {
  readonly bytes: number;
}

/** How a device gets into the kernel. */
export type AttachMethod = 'nbd-client' | 'netlink';

/** Body of POST /devices/N/attach. */
export interface AttachRequest {
  /** Default: netlink where the daemon can use it, else nbd-client. */
  readonly by?: AttachMethod;
  /** Sockets between kernel and daemon, 1 to 16. Default 1. nbd-client knows one only. */
  readonly connections?: number;
  /** Seconds after which the kernel gives up on a request and its socket. Default 30; 0: never. */
  readonly timeout?: number;
  /** Seconds the kernel waits for a new connection after all are dead. Default 30 (netlink only). */
  readonly deadTimeout?: number;
}

/** What a stream of events carries. */
export type ControlEvent = DeviceEvent | RemoteEvent | FaultEvent;

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

/** Of GET /connections. */
export interface ConnectionInfo {
  readonly id: number;
  /** `HOST:PORT`, `unix` or `kernel`. */
  readonly peer: string;
  /** Name of the export; empty during the handshake. */
  readonly export: string;
  /** ISO 8601. */
  readonly since: string;
}

/** Answer of GET /web. */
export interface PageAddress {
  /** What a browser is given: the token is in the fragment, which it sends to nobody. */
  readonly url: string;
  /** The same without. */
  readonly origin: string;
  readonly token: string;
}
/** Answer of GET /lockdep: lock classes, the order in which they were seen taken, present holders, every report. */
export type LockdepAnswer = LockdepSnapshot;
export type { LockClassJson, LockdepSnapshot, LockEdgeJson, LockHolderJson } from '../locks/snapshot.js';

/** Answer of GET /daemon. */
export interface DaemonInfo {
  readonly version: string;
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Addresses that NBD clients connect to, as URIs of the server. */
  readonly listeners: readonly string[];
  readonly connections: number;
  readonly reactors: number;
  /** Files and sockets it may have open; null: no limit. */
  readonly descriptorLimit: number | null;
  /** Those that a reload reads anew. */
  readonly settings: {
    /** When those in force were read, ISO 8601. */
    readonly loadedAt: string;
    /** Why newer ones cannot be used; null: there are none. */
    readonly error: string | null;
  };
}

/** Body of every answer that is not 2xx. */
export interface ErrorBody {
  /** Errno name, e.g. `EBUSY`. */
  readonly errno: string;
  /** One plain sentence that names the device and the file. */
  readonly message: string;
}
