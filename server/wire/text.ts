/** Strings of the protocol: UTF-8, no NUL, at most 4096 bytes ("Conventions"). */

import { MAX_STRING } from './constants.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Undefined when the bytes are not a string in the protocol's sense. */
export const decodeText = (bytes: Buffer): string | undefined => {
  if (bytes.length > MAX_STRING || bytes.includes(0)) return undefined;
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
};

/** Bytes of a string for display, cut to the limit at a character; NUL characters are left out. */
export const encodeText = (text: string): Buffer => {
  const bytes = Buffer.from(text.replaceAll('\0', ''));
  if (bytes.length <= MAX_STRING) return bytes;
  let end = MAX_STRING;
  // 10xxxxxx continues a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
};
