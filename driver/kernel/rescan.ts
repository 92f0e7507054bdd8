/**
 * Reads the partition table of a node again: a program of its own, since both the open and the ioctl wait for
 * requests that the daemon answers. Exits 0, or 1 with a sentence; run with the node's path.
 */

import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { errnoName } from '../errno.js';

const ioctl = koffi.load('libc.so.6').func('int ioctl(int fd, unsigned long request)') as (
  fd: number,
  request: number,
) => number;
/** `_IO(0x12, 95)`, linux/fs.h. */
const BLKRRPART = 0x125f;

function rescan(node: string): void {
  const fd = openSync(node, 'r');
  try {
    if (ioctl(fd, BLKRRPART) !== 0) throw new Error(errnoName(koffi.errno()));
  } finally {
    closeSync(fd);
  }
}

try {
  rescan(process.argv[2] ?? '');
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
