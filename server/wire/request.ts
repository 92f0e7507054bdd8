/**
 * Codec of the request message (protocol document, "Request message" and "Extended request message"). No I/O.
 *
 * Hot path: fields are read with a DataView into one reused object; a 64-bit value becomes a Number once.
 * Above 2^53 it is inexact, and every such value is past the end of any device, so range checks stay right.
 */
import { Magic, Size } from './constants.js';
import { Kept } from './kept.js';

const TWO_TO_32 = 4294967296;

/** A decoded request header; reused from request to request. */
export class Request extends Kept {
  flags = 0;
  type = 0;
}

/**
 * Decodes the compact header at `at` (28 bytes: magic u32, flags u16, type u16, cookie u64, offset u64,
 * length u32). False when the magic is wrong: the stream is lost.
 */
export function decodeRequest(view: DataView, at: number, into: Request): boolean {
  if (view.getUint32(at) !== Magic.REQUEST) return false;
  decodeCommon(view, at, into);
  into.length = view.getUint32(at + 24);
  return true;
}

/** Decodes the extended header at `at` (32 bytes: as the compact one, with a u64 length). */
export function decodeExtendedRequest(view: DataView, at: number, into: Request): boolean {
  if (view.getUint32(at) !== Magic.EXTENDED_REQUEST) return false;
  decodeCommon(view, at, into);
  into.length = view.getUint32(at + 24) * TWO_TO_32 + view.getUint32(at + 28);
  return true;
}

function decodeCommon(view: DataView, at: number, into: Request): void {
  into.flags = view.getUint16(at + 4);
  into.type = view.getUint16(at + 6);
  into.cookieHigh = view.getUint32(at + 8);
  into.cookieLow = view.getUint32(at + 12);
  into.offsetHigh = view.getUint32(at + 16);
  into.offsetLow = view.getUint32(at + 20);
  into.offset = into.offsetHigh * TWO_TO_32 + into.offsetLow;
}

/** Encodes a header as `decodeRequest` and `decodeExtendedRequest` take it, of exact offsets and lengths. */
export function encodeRequest(
  request: Pick<Request, 'flags' | 'type' | 'cookieHigh' | 'cookieLow' | 'offset' | 'length'>,
  layout: 'compact' | 'extended',
): Buffer {
  const isExtended = layout === 'extended';
  const bytes = Buffer.alloc(isExtended ? Size.EXTENDED_REQUEST : Size.REQUEST);
  bytes.writeUInt32BE(isExtended ? Magic.EXTENDED_REQUEST : Magic.REQUEST, 0);
  bytes.writeUInt16BE(request.flags, 4);
  bytes.writeUInt16BE(request.type, 6);
  bytes.writeUInt32BE(request.cookieHigh, 8);
  bytes.writeUInt32BE(request.cookieLow, 12);
  bytes.writeBigUInt64BE(BigInt(request.offset), 16);
  if (isExtended) bytes.writeBigUInt64BE(BigInt(request.length), 24);
  else bytes.writeUInt32BE(request.length, 24);
  return bytes;
}
