/**
 * Names of files as strings that lose nothing. A name is bytes, and nearly always UTF-8; bytes that are none are single
 * surrogates, U+DC80 to U+DCFF for 0x80 to 0xff, as Python's `surrogateescape` has them. So a name stays a string inside
 * the project and in JSON (which writes them as `\udcXX`), and every call on a file gets its very bytes.
 */

import { isUtf8 } from 'node:buffer';
import { readlinkSync } from 'node:fs';
import { isAbsolute } from 'node:path';

/** What U+DC80 to U+DCFF stand for is the byte in their lowest eight bits. */
const ESCAPE = 0xdc00;
/** A single surrogate that stands for a byte; `u`: one that is half of a character does not match. */
const ESCAPED = /[\udc80-\udcff]/u;

export function nameFromBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let name = '';
  for (let at = 0; at < bytes.length; ) {
    const length = characterAt(bytes, at);
    if (length === 0) name += String.fromCharCode(ESCAPE + (bytes[at] ?? 0));
    else name += bytes.toString('utf8', at, at + length);
    at += Math.max(1, length);
  }
  return name;
}

/** The reverse; also what a terminal or a pipe gets of a text with such names in it. */
export function nameToBytes(name: string): Buffer {
  if (!ESCAPED.test(name)) return Buffer.from(name, 'utf8');
  const runs = name.split(/([\udc80-\udcff]+)/u);
  return Buffer.concat(
    runs.map((run, i) =>
      i % 2 === 0 ? Buffer.from(run, 'utf8') : Buffer.from([...run].map((byte) => byte.charCodeAt(0) & 0xff)),
    ),
  );
}

/** For people: what is no UTF-8 reads `\xNN`. */
export const readableName = (name: string): string =>
  ESCAPED.test(name)
    ? name.replace(/[\udc80-\udcff]/gu, (byte) => `\\x${(byte.charCodeAt(0) & 0xff).toString(16)}`)
    : name;

/** What Node puts in place of bytes that are no UTF-8, where it makes strings of them itself. */
export const REPLACED = '\ufffd';

/** The absolute path that a name means here. Dots stay: what is behind a link is not what the letters say. */
export const absolutePath = (name: string): string =>
  isAbsolute(name) ? name : `${workingDirectory()}/${name}`;

function workingDirectory(): string {
  const directory = process.cwd();
  return directory.includes(REPLACED)
    ? nameFromBytes(readlinkSync('/proc/self/cwd', { encoding: 'buffer' }))
    : directory;
}

/** Bytes of the character of UTF-8 at `at`, or 0 where there is none. */
function characterAt(bytes: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    if (isUtf8(bytes.subarray(at, at + length))) return length;
  }
  return 0;
}
