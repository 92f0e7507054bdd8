/** How a handshake ends: one value, with everything the next phase needs. */

import type { OpenedExport } from '../export.js';

/** Form of replies. `extended` implies extended requests (32-byte headers, 64-bit lengths). */
export type ReplyMode = 'simple' | 'structured' | 'extended';

/** A metadata context the client may ask BLOCK_STATUS for, under the id that its replies carry. */
export interface NegotiatedContext {
  readonly id: number;
  /** e.g. `base:allocation`. */
  readonly name: string;
}

/** GO or EXPORT_NAME succeeded and its reply has left the stream: the next byte is a request. */
export interface TransmissionOutcome {
  readonly kind: 'transmission';
  /** Belongs to whoever receives the outcome, who releases it. */
  readonly opened: OpenedExport;
  readonly mode: ReplyMode;
  /** Empty when the client selected none: BLOCK_STATUS is then refused with EINVAL. */
  readonly contexts: readonly NegotiatedContext[];
  /** The client knows the block sizes, so an unaligned request is its error. */
  readonly blockSizesNegotiated: boolean;
  /** `TransmissionFlag` bits as sent; READ_ONLY also reflects a read-only listener. */
  readonly transmissionFlags: number;
  /** Bytes that were received beyond the option. */
  readonly leftover: Buffer;
}

/** STARTTLS was acknowledged: upgrade the stream to TLS, then go on with `negotiateOverTls`. */
export interface StartTlsOutcome {
  readonly kind: 'starttls';
  /** All that survives the upgrade: greeting and client flags are not repeated. */
  readonly clientFlags: number;
}

/** The client left (ABORT, end of stream, reset) or the caller's signal fired: nothing is open. */
export interface ClosedOutcome {
  readonly kind: 'closed';
  /** One phrase for the log. */
  readonly reason: string;
}

/** The client broke the protocol or a limit, or its export could not be had by EXPORT_NAME: hang up. */
export interface DroppedOutcome {
  readonly kind: 'dropped';
  readonly reason: string;
}

export type NegotiationOutcome = TransmissionOutcome | StartTlsOutcome | ClosedOutcome | DroppedOutcome;
