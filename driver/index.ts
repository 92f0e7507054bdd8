/**
 * nbdloop as a library: `LoopControl` is the loop driver alone, `serve` the whole daemon inside this process.
 */

import { type Daemon, type DeviceToBind, startDaemon } from './daemon.js';
import type { LoopControl } from './loop/loop-control.js';
import { expectKnownProcessor } from './processor.js';
import type { Remotes } from './remote/remotes.js';

export type { DeviceToBind } from './daemon.js';
export { LoopError } from './errno.js';
export type { FileIdentity } from './io/file-identity.js';
export { LoopControl, type LoopControlOptions } from './loop/loop-control.js';
export type { LoopDevice } from './loop/loop-device.js';
export type { LoopConfig, LoopEvent, LoopSettings, LoopState, LoopStatus, WantedFile } from './loop/types.js';
export type { RemoteSnapshot } from './remote/remote-device.js';
export type { RemoteOptions, Remotes } from './remote/remotes.js';

export interface ServeOptions {
  /** Files to bind, in order: loop0, loop1, ...; with a name and a description of the export, if it has any. */
  readonly files?: readonly (string | DeviceToBind)[];
  /** Name of the export that a client gets which names none; empty: there is none. Default: the lowest bound device. */
  readonly defaultExport?: string;
  /** Path of a Unix socket for NBD. Default: none. */
  readonly unix?: string;
  /** TCP addresses for NBD; port 0 is any free one. Default: none. */
  readonly listen?: readonly { readonly host: string; readonly port: number }[];
  /** Path of a socket for the control API, which nbdlosetup and nbdloop use. Default: none. */
  readonly control?: string;
  /** Threads that serve connections, 1 to 16. Default: one for two processors. */
  readonly reactors?: number;
  /** Idle processors are kept awake while a lone client is busy; rejects with EACCES, EPERM or ENOENT where that can't be. */
  readonly keepAwake?: boolean;
  /** Least level that is logged, on standard error. Default: 'silent'. */
  readonly logLevel?: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** What `serve` serves. */
export interface Served extends AsyncDisposable {
  /** The loop devices. */
  readonly loops: LoopControl;
  /**
   * Exports of other hosts as /dev/nbdN of this machine; undefined where `serve` was given no control socket, beside which
   * their state is kept.
   */
  readonly remotes: Remotes | undefined;
  /** NBD URIs of an export, the best one first. */
  uris(name: string): readonly string[];
  /** Refuses new work, lets requests in flight finish, closes everything; what takes over 4 s is cut. */
  close(): Promise<void>;
}

/** Milliseconds. */
const CLOSE_LIMIT = 4000;

/** Rejects, with nothing left behind, with an error that has an errno name and a sentence. */
export async function serve(options: ServeOptions = {}): Promise<Served> {
  expectKnownProcessor();
  const { files = [], listen = [], unix = null, control = null, logLevel = 'silent', reactors } = options;
  const daemon: Daemon = await startDaemon({
    devices: files.map((file) => (typeof file === 'string' ? { file } : file)),
    listen,
    unix,
    control,
    logLevel,
    demonstrate: false,
    keepAwake: options.keepAwake === true,
    ...(reactors === undefined ? {} : { reactors }),
    ...(options.defaultExport === undefined ? {} : { defaultExport: options.defaultExport }),
  });
  const close = (): Promise<void> => daemon.drain(CLOSE_LIMIT);
  return {
    loops: daemon.loops,
    remotes: daemon.remotes,
    uris: (name) => daemon.uris(name),
    close,
    [Symbol.asyncDispose]: close,
  };
}
