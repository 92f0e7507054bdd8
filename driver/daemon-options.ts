/** What the composition root is asked to do, and what it gives. Types only. */

import type { AccessSettings } from '../server/access.js';
import type { Addresses } from './control/uris.js';
import type { ActivatedSocket } from './kernel/service-manager.js';
import type { TcpAddress } from './listen.js';
import type { LoopControl } from './loop/loop-control.js';
import type { Remotes } from './remote/remotes.js';
import type { Unrecovered } from './state/down.js';

/** A file, and what its export is called beside `loopN`; an empty text is none. */
export interface DeviceToBind {
  readonly file: string;
  readonly exportName?: string;
  readonly description?: string;
}

/** What the daemon is asked to do; absent fields take the defaults of DESIGN section 7. */
export interface DaemonOptions extends AccessSettings {
  /** Files to bind at start, in order. */
  readonly devices: readonly DeviceToBind[];
  /** Name of the export that a client gets which names none; empty: there is none; absent: the lowest bound device. */
  readonly defaultExport?: string;
  readonly listen: readonly TcpAddress[];
  /** The same for clients that may only read. */
  readonly listenRo?: readonly TcpAddress[];
  /** NBD over a Unix socket at this path; absent: in the run directory; null: none. */
  readonly unix?: string | null;
  /** Permission bits of the Unix socket's file; absent: 0600. */
  readonly unixMode?: number;
  /** Name or number of the group it belongs to; absent: the process's. */
  readonly unixGroup?: string;
  /** The control API at this path; absent: in the run directory; null: none. */
  readonly control?: string | null;
  /** Absent: beside the control socket. Without both, devices can't be attached to the kernel. */
  readonly stateDir?: string;
  /**
   * Takes over from a daemon that runs with this state; and at the end every device stays as it is in the kernel, for
   * the next daemon.
   */
  readonly handover?: boolean;
  /** At the end exports are forgotten, and their numbers free, but for those of devices that the kernel has. */
  readonly forget?: boolean;
  /** EBUSY where another program has an image lock on a file of `devices`. */
  readonly exclusive?: boolean;
  /** Another daemon's lock on one of `devices` is waited for so long at the start, seconds. */
  readonly waitForLock?: number;
  /**
   * Other hosts may serve the files of `devices`: exclusive, direct I/O, an identity that is the same on every host, and down
   * at any doubt. Each must have a name of its own (EINVAL).
   */
  readonly cluster?: boolean;
  /** Threads that serve connections. */
  readonly reactors?: number;
  /** Operations on the files of one file system at a time, 1 to 32; default 4. */
  readonly fileOperations?: number;
  /** Idle processors are kept awake while a lone client is busy. */
  readonly keepAwake?: boolean;
  /** `devices` stay as they are: what is written goes into deltas without a name, which are gone with the daemon. */
  readonly temporary?: boolean;
  /** The program's code and C heap stay in memory once they were used. */
  readonly mlock?: boolean;
  /** What a reload reads in place of these options; absent: their files alone are read anew. */
  readonly reread?: () => AccessSettings;
  /** Files whose change is a reason for a reload, besides those of TLS. */
  readonly settingsFiles?: readonly string[];
  /** The page (driver/web) on this address; absent: none. */
  readonly web?: TcpAddress;
  /** Other machines may connect without TLS; absent: an address that they can reach is refused (EPERM). */
  readonly insecure?: boolean;
  /** Listening sockets that a service manager opened for us. */
  readonly activated?: readonly ActivatedSocket[];
  readonly logLevel: string;
  /** Without files, make a sparse disk and serve that. */
  readonly demonstrate: boolean;
}

/** A daemon that serves. */
export interface Daemon {
  readonly loops: LoopControl;
  /** Devices of other hosts; undefined without a state directory. */
  readonly remotes: Remotes | undefined;
  readonly addresses: Addresses;
  readonly controlPath: string | null;
  /** Address of the page, with its token; null: there is none. */
  readonly page: string | null;
  /** Devices of the daemon before that could not be brought back. */
  unrecovered(): readonly Unrecovered[];
  /** Resolves when another daemon asks to take over: `drain` then leaves it everything. */
  readonly successor: Promise<void>;
  /** Ends every session of a device; resolves when they are gone. */
  endSessions(device: number, reason: string): Promise<boolean>;
  uris(name: string): readonly string[];
  /** Reads certificates, keys, permissions and limits anew. Throws why they cannot be used: then those before stay. */
  reload(): Promise<void>;
  /** What a drain could not wait for: operations on files that have not come to an end, by the mount they are on. */
  hanging(): readonly { readonly mount: string; readonly operations: number }[];
  /** Refuses new work, lets requests in flight finish, closes everything. Within `timeoutMs`. Idempotent. */
  drain(timeoutMs: number): Promise<void>;
}
