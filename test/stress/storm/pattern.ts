/** Files whose every sector tells where it belongs, so that a reader knows what it was given. */
import { closeSync, openSync, writeSync } from 'node:fs';

export const SECTOR = 512;
/** The first word of every tag. */
const MAGIC = 0x6c6f6f70;
const TAG = 16;

/** Fills a sector with its tag, over and over: a torn sector shows. */
function putSector(target: Buffer, at: number, file: number, sector: number): void {
  const tag = Buffer.alloc(TAG);
  tag.writeUInt32BE(MAGIC, 0);
  tag.writeUInt32BE(file, 4);
  tag.writeBigUInt64BE(BigInt(sector), 8);
  target.fill(tag, at, at + SECTOR);
}

export function makePatternFile(path: string, file: number, bytes: number): string {
  const content = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += SECTOR) putSector(content, at, file, at / SECTOR);
  const fd = openSync(path, 'w');
  writeSync(fd, content);
  closeSync(fd);
  return path;
}

/** Where a read came from, if all of it came from one file at one offset; else what is wrong with it. */
export function originOf(data: Buffer, position: number): { file: number; offset: number } | string {
  const file = data.readUInt32BE(4);
  const offset = Number(data.readBigUInt64BE(8)) * SECTOR - position;
  const expected = Buffer.alloc(SECTOR);
  for (let at = 0; at < data.length; at += SECTOR) {
    putSector(expected, 0, file, (position + offset + at) / SECTOR);
    if (!data.subarray(at, at + SECTOR).equals(expected)) {
      return `at ${position} + ${at}: ${data.toString('hex', at, at + TAG)}, after ${data.toString('hex', 0, TAG)}`;
    }
  }
  return { file, offset };
}
