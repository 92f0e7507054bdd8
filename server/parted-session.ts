/**
 * A session between two processes: its socket, and all that makes it beside its export. Whoever has these goes on with it between
 * two requests, and its client sees a reply that comes a little later. The sessions of TLS stay: their keys and counters are OpenSSL's.
 */
import type { Origin } from './peers.js';
import type { SessionTerms } from './session/terms.js';

/** Plain data: it goes through JSON. */
export interface SessionState {
  readonly terms: SessionTerms;
  readonly origin: Origin;
  /** When it connected, milliseconds since 1970. */
  readonly since: number;
}

export interface PartedSession extends SessionState {
  /** Of the export's device. */
  readonly device: number;
  /** A connected stream socket, non-blocking: whoever has this has it. */
  readonly fd: number;
  /** What was received and not served. */
  readonly leftover: Uint8Array;
}
