/**
 * Codecs of the replies of the transmission phase (protocol document, "Simple reply message", "Structured reply
 * chunk message", "Extended reply chunk message"). No I/O, no allocation; each writes at `at` and returns the
 * bytes it wrote.
 */
import { Magic, ReplyFlag, ReplyType, Size } from './constants.js';

/** The fields of a request that its replies repeat. */
export interface Replied {
  readonly cookieHigh: number;
  readonly cookieLow: number;
  /** The two halves of the offset, which extended replies repeat: as a Number it may be inexact. */
  readonly offsetHigh: number;
  readonly offsetLow: number;
}

const TWO_TO_32 = 4294967296;

/** Writes an integer below 2^53 as u64. */
export function putUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value / TWO_TO_32);
  view.setUint32(at + 4, value % TWO_TO_32);
}

/** magic u32, error u32, cookie u64. `error` is a wire errno, 0 for success. */
export function putSimpleReply(view: DataView, at: number, error: number, to: Replied): number {
  view.setUint32(at, Magic.SIMPLE_REPLY);
  view.setUint32(at + 4, error);
  view.setUint32(at + 8, to.cookieHigh);
  view.setUint32(at + 12, to.cookieLow);
  return Size.SIMPLE_REPLY;
}

/** magic u32, flags u16, type u16, cookie u64, length u32 (of the payload behind it). */
export function putStructuredHeader(
  view: DataView,
  at: number,
  flags: number,
  type: number,
  length: number,
  to: Replied,
): number {
  putChunkStart(view, at, Magic.STRUCTURED_REPLY, flags, type, to);
  view.setUint32(at + 16, length);
  return Size.STRUCTURED_REPLY;
}

/** magic u32, flags u16, type u16, cookie u64, offset u64 (the request's), length u64 (of the payload). */
export function putExtendedHeader(
  view: DataView,
  at: number,
  flags: number,
  type: number,
  length: number,
  to: Replied,
): number {
  putChunkStart(view, at, Magic.EXTENDED_REPLY, flags, type, to);
  view.setUint32(at + 16, to.offsetHigh);
  view.setUint32(at + 20, to.offsetLow);
  putUint64(view, at + 24, length);
  return Size.EXTENDED_REPLY;
}

/** Bytes of a magic number, with which every reply begins. */
export const MAGIC_BYTES = 4;

/**
 * For a peer that was sent a magic number before it was known which reply comes first: makes the one at the beginning of
 * `view` go on from there, and returns how many of its bytes the peer has. One that begins otherwise is a simple reply
 * without an error where a chunk was begun: what a chunk has behind its magic number takes its 16 bytes.
 */
export function goOnFrom(magic: number, view: DataView): number {
  if (view.getUint32(0) === magic) return MAGIC_BYTES;
  view.setUint16(0, ReplyFlag.DONE);
  view.setUint16(2, ReplyType.NONE);
  view.setUint32(4, view.getUint32(8));
  view.setUint32(8, view.getUint32(12));
  view.setUint32(12, 0);
  return 0;
}

function putChunkStart(
  view: DataView,
  at: number,
  magic: number,
  flags: number,
  type: number,
  to: Replied,
): void {
  view.setUint32(at, magic);
  view.setUint16(at + 4, flags);
  view.setUint16(at + 6, type);
  view.setUint32(at + 8, to.cookieHigh);
  view.setUint32(at + 12, to.cookieLow);
}
