import type { ExportInfo } from '../export.js';
import { TransmissionFlag } from '../wire/constants.js';
import type { NegotiatedContext, ReplyMode } from './outcome.js';

/** What was agreed on with the client. */
interface Negotiated {
  readonly mode: ReplyMode;
  /** The listener's. */
  readonly readOnly: boolean;
  readonly contexts: readonly NegotiatedContext[];
}

/**
 * What an export can do for a client ("Transmission flags").
 *
 * Every connection works on the same file and cache, hence CAN_MULTI_CONN; a read-only export offers no command
 * that could only fail. DF needs chunks; a payload that narrows BLOCK_STATUS needs extended headers, and contexts
 * to choose from.
 */
export const transmissionFlags = (info: ExportInfo, { mode, readOnly, contexts }: Negotiated): number => {
  const { HAS_FLAGS, SEND_FLUSH, SEND_FUA, CAN_MULTI_CONN, SEND_CACHE } = TransmissionFlag;
  let flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN | SEND_CACHE;
  if (mode !== 'simple') flags |= TransmissionFlag.SEND_DF;
  if (mode === 'extended' && contexts.length > 0) flags |= TransmissionFlag.BLOCK_STATUS_PAYLOAD;
  if (info.readOnly || readOnly) return flags | TransmissionFlag.READ_ONLY;
  flags |= TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_WRITE_ZEROES;
  if (info.fastZero) flags |= TransmissionFlag.SEND_FAST_ZERO;
  return flags;
};
