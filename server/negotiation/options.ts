/** What the caller of `negotiate` decides. */

import type { ExportTable } from '../export.js';
import { MAX_STRING } from '../wire/constants.js';
import type { NegotiatedContext } from './outcome.js';

export type TlsPolicy = 'off' | 'optional' | 'required';

export interface NegotiationLimits {
  /** Bytes of an export's name; at most the protocol's own limit for strings, 4096. */
  readonly maxNameBytes: number;
  /** Bytes of option data that are read and answered; a longer option is drained and refused with ERR_TOO_BIG. */
  readonly maxOptionBytes: number;
  /** Bytes beyond which an option is not even drained: the client is dropped. */
  readonly maxDrainBytes: number;
  /** Options before GO, EXPORT_NAME or STARTTLS; one more that is none of these drops the client. */
  readonly maxOptions: number;
  /** Bytes a READ or WRITE may carry: the largest block size that is advertised. */
  readonly maxPayloadBytes: number;
}

export const DEFAULT_LIMITS: NegotiationLimits = {
  maxNameBytes: MAX_STRING,
  maxOptionBytes: 64 * 1024,
  maxDrainBytes: 32 * 1024 * 1024,
  maxOptions: 1024,
  maxPayloadBytes: 32 * 1024 * 1024,
};

export interface NegotiationOptions {
  readonly exports: ExportTable;
  readonly tls: TlsPolicy;
  /** Every export is presented read-only (a read-only listener). */
  readonly readOnly: boolean;
  /** The metadata contexts there are; ids are unique. */
  readonly contexts: readonly NegotiatedContext[];
  readonly limits: NegotiationLimits;
  /** True once the server is going down: options other than ABORT get ERR_SHUTDOWN. */
  readonly draining: () => boolean;
  /** The handshake deadline, or the server's end. The caller destroys the stream. */
  readonly signal: AbortSignal;
}
