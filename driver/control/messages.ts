/**
 * What travels over the control socket: the JSON types, shared by server and client. Types only;
 * the schemas are in `schemas.ts`.
 *
 * Sizes and offsets are bytes. A size beyond 2^53 - 1 travels as a string of decimal digits.
 */

import type { LockdepSnapshot } from '../locks/snapshot.js';
import type { FaultEvent } from './bench-messages.js';
import type { ExportWords } from './binding-messages.js';
import type { Bytes, DeviceEvent } from './device-messages.js';
import type { RemoteEvent } from './remote-messages.js';

export type * from './bench-messages.js';
export type * from './binding-messages.js';
export type * from './device-messages.js';
export type * from './overlay-messages.js';
export type * from './remote-messages.js';

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
