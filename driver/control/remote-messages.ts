/** JSON types of devices of other hosts. Types only, as `messages.ts`, which has them, too. */

/** TLS of a client: paths of files, absolute, as the daemon sees them. */
export interface RemoteTlsFiles {
  /** PEM, authorities that the server's certificate must come from. Default: those of this machine. */
  readonly ca?: string;
  /** PEM, our own certificate, and its key. */
  readonly cert?: string;
  readonly key?: string;
  /** Pre-shared keys, a `user:hexkey` a line. */
  readonly psk?: string;
  /** Whose key; default: the first. */
  readonly user?: string;
  /** What the server's certificate must be for; default: the URI's host. */
  readonly hostname?: string;
}

/** Body of POST /remotes. */
export interface RemoteAttachRequest {
  /** Addresses of one and the same export, tried in turn: nbd://, nbds://, nbd+unix://, nbds+unix://. */
  readonly uris: readonly string[];
  /** Sockets of the kernel's, 1 to 16, all to one address. Default 1. */
  readonly connections?: number;
  /** Seconds after which the kernel gives up a request and its socket. Default 0: never. */
  readonly timeout?: number;
  /** Seconds that requests wait for a new connection when all are dead. Default 120. */
  readonly deadTimeout?: number;
  readonly readOnly?: boolean;
  readonly tls?: RemoteTlsFiles;
}

/**
 * negotiating: an address is talked to; attached: all is well; lost: the kernel has told that a socket is dead; waiting: no
 * address has the export, and a timer runs; given-up: the kernel takes no more sockets, its users get errors.
 */
export type RemoteState = 'negotiating' | 'attached' | 'lost' | 'waiting' | 'given-up';

/** A step from one state to the next. */
export interface RemoteTransition {
  readonly from: RemoteState;
  readonly to: RemoteState;
  /** ISO 8601. */
  readonly at: string;
  /** Why it is not attached from then on; null where it is. */
  readonly message: string | null;
}

/** A device of another host. */
export interface RemoteStatus {
  readonly number: number;
  /** `/dev/nbdN` while the kernel has it. */
  readonly node: string | null;
  readonly uris: readonly string[];
  /** The one in use, or tried last. */
  readonly uri: string;
  readonly state: RemoteState;
  /** When that state was reached, ISO 8601. */
  readonly since: string;
  /** Why it is not attached: an errno name, and a sentence that tells of each address. Null while it is. */
  readonly errno: string | null;
  readonly message: string | null;
  /** How often its connection was lost since it was attached. */
  readonly losses: number;
  /** How long it was not attached, since this daemon has it, seconds. */
  readonly awaySeconds: number;
  /** The last steps from state to state, 16 at most, the latest at the end. */
  readonly transitions: readonly RemoteTransition[];
  /** Bytes. */
  readonly size: number;
  /** By which a server of nbdloop's tells its devices apart. */
  readonly uuid: string | null;
  readonly description: string | null;
  readonly readOnly: boolean;
  readonly connections: number;
  /** Seconds, as asked for. */
  readonly timeout: number;
  readonly deadTimeout: number;
}

/** A state that a device of another host has reached; null: it is gone. */
export interface RemoteEvent {
  readonly device: number;
  readonly kind: 'remote';
  readonly remote: RemoteStatus | null;
}
