import type { ExportInfo } from '../export.js';
import { TransmissionFlag } from '../wire/constants.js';
import type { ReplyMode } from './outcome.js';

/**
 * What an export can do for a client ("Transmission flags").
 *
 * Every connection works on the same file and cache, hence CAN_MULTI_CONN; a read-only export offers no command
 * that could only fail. DF needs chunks.
 */
export const transmissionFlags = (
  info: ExportInfo,
  { mode, readOnly }: { readonly mode: ReplyMode; readonly readOnly: boolean },
): number => {
  const { HAS_FLAGS, SEND_FLUSH, SEND_FUA, CAN_MULTI_CONN, SEND_CACHE } = TransmissionFlag;
  let flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN | SEND_CACHE;
  if (mode !== 'simple') flags |= TransmissionFlag.SEND_DF;
  if (info.readOnly || readOnly) return flags | TransmissionFlag.READ_ONLY;
  flags |= TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_WRITE_ZEROES;
  if (info.fastZero) flags |= TransmissionFlag.SEND_FAST_ZERO;
  return flags;
};
