/** Files whose every sector tells what it belongs to: a torn or a stale one shows. */
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';

const SECTOR = 512;
/** Bytes that the stamp of a file takes in each sector: its number and the sector's. */
const STAMP = 16;

/** The content of `bytes` bytes that belongs to this number. */
export function stamped(number: number, bytes: number): Buffer {
  const content = Buffer.alloc(bytes, `<${number}>`);
  for (let at = 0; at + STAMP <= bytes; at += SECTOR) {
    content.writeDoubleLE(number, at);
    content.writeDoubleLE(at, at + 8);
  }
  return content;
}

/** The number whose content this is, whole; undefined for anything else. */
export function stampOf(content: Buffer): number | undefined {
  if (content.length < STAMP) return undefined;
  const number = content.readDoubleLE(0);
  return content.equals(stamped(number, content.length)) ? number : undefined;
}

/** A file's content past the page cache would be another one's business: it is read anew after each mount. */
export const stampOfFile = (path: string): number | undefined => stampOf(readFileSync(path));

/** Its first bytes; none of a file that is not there. */
export function beginningOf(path: string, bytes: number): Buffer {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY);
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const into = Buffer.alloc(bytes);
    return into.subarray(0, readSync(fd, into, 0, bytes, 0));
  } finally {
    closeSync(fd);
  }
}
