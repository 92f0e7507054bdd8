import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { decodeAsks } from '../helpers/transmission-client.js';

/** Where the cookie is in a request, in every mode. */
const COOKIE = 8;
const FRESH = 0xc00c_1e00_0000_0000n;

/**
 * The stream with cookies that differ ("clients SHOULD use a handle that is distinct"): what was started is answered
 * when it is done, and nobody could tell whose reply one with a repeated cookie is.
 */
export function withDistinctCookies(mode: ReplyMode, stream: Buffer): Buffer {
  const seen = new Set<bigint>();
  const changed = Buffer.from(stream);
  let at = 0;
  for (const [index, { cookie, bytes }] of decodeAsks(mode, stream).asks.entries()) {
    if (seen.has(cookie)) changed.writeBigUInt64BE(FRESH + BigInt(index), at + COOKIE);
    seen.add(cookie);
    at += bytes;
  }
  return changed;
}
