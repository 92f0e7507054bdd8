/** What this process was started with, byte for byte: Node decodes it as UTF-8, and loses what is none. */

import { readFileSync } from 'node:fs';
import { nameFromBytes, REPLACED } from '../file-name.js';

/** The words after the program's name. */
export function commandLine(): string[] {
  const words = process.argv.slice(2);
  if (!words.some((word) => word.includes(REPLACED))) return words;
  const all = splitAtZeroes(readFileSync('/proc/self/cmdline'));
  return words.length <= all.length ? all.slice(all.length - words.length) : words;
}

/** Each word ends with a zero. */
function splitAtZeroes(bytes: Buffer): string[] {
  const words: string[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    if (end < 0) break;
    words.push(nameFromBytes(bytes.subarray(start, end)));
    start = end + 1;
  }
  return words;
}
