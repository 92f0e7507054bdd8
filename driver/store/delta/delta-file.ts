/** Reading and writing the parts of a delta that are not data, by its descriptor: in libuv's pool. */
import fs from 'node:fs';
import { promisify } from 'node:util';
import { LoopError } from '../../errno.js';
import { FALLOC_FL_KEEP_SIZE, fallocate } from '../../io/file-calls.js';
import {
  BITMAP_OFFSET,
  bitmapBytesFor,
  blocksOf,
  type DeltaHeader,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  HEADER_PLACES,
  looksLikeDelta,
} from './header.js';

const readAt = promisify(fs.read) as (
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesRead: number }>;
const writeAt = promisify(fs.write) as (
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesWritten: number }>;
const truncate = promisify(fs.ftruncate);
const dataSync = promisify(fs.fdatasync);
const statFile = promisify(fs.fstat) as (fd: number) => Promise<fs.Stats>;

/** What is wrong with a file that should be a delta. */
export class DamagedDelta extends LoopError {
  constructor(path: string, fault: string) {
    super('EINVAL', `${path} is no delta that can be used: ${fault}.`);
  }
}

/** The end of a delta's file: the data area is as large as what it shows, in whole blocks. */
export const fileBytesOf = ({ dataOffset, virtualSize, blockSize }: DeltaHeader): number =>
  dataOffset + blocksOf(virtualSize, blockSize) * blockSize;

/** Fewer bytes than are asked for where the file ends. */
export async function readFully(fd: number, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, await readInto(fd, bytes, position));
}

/** Fills the bytes as far as the file goes, and returns how far. */
export async function readInto(fd: number, bytes: Buffer, position: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesRead } = await readAt(fd, bytes, done, bytes.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

export async function writeFully(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await writeAt(fd, bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** True where the file claims to be a delta, right or wrong. */
export const isDeltaFile = async (fd: number): Promise<boolean> =>
  looksLikeDelta(await readFully(fd, 0, 16)) || looksLikeDelta(await readFully(fd, HEADER_BYTES, 16));

/** Both places of the header, as they are. */
export async function readHeaders(fd: number): Promise<readonly (DeltaHeader | string)[]> {
  const bytes = await readFully(fd, 0, HEADER_PLACES.length * HEADER_BYTES);
  return HEADER_PLACES.map((place) => decodeHeader(bytes.subarray(place, place + HEADER_BYTES)));
}

/** The header that counts. */
export function presentHeader(headers: readonly (DeltaHeader | string)[]): DeltaHeader | undefined {
  const valid = headers.filter((header) => typeof header !== 'string');
  return valid.sort((a, b) => b.sequence - a.sequence)[0];
}

/** Throws `DamagedDelta`. */
export async function readHeader(fd: number, path: string): Promise<DeltaHeader> {
  const headers = await readHeaders(fd);
  const header = presentHeader(headers);
  if (header === undefined) throw new DamagedDelta(path, `its header ${String(headers[0])}`);
  const { size } = await statFile(fd);
  if (size < fileBytesOf(header)) {
    throw new DamagedDelta(path, `it is cut short, of ${size} bytes in place of ${fileBytesOf(header)}`);
  }
  return header;
}

/** Writes the header with the next sequence; the one before stays where it is. */
export async function noteHeader(fd: number, header: DeltaHeader): Promise<DeltaHeader> {
  const next = { ...header, sequence: header.sequence + 1 };
  await writeFully(fd, encodeHeader(next), HEADER_PLACES[next.sequence % 2 === 0 ? 0 : 1]);
  return next;
}

/** The same, durable when this resolves. */
export async function writeHeader(fd: number, header: DeltaHeader): Promise<DeltaHeader> {
  const next = await noteHeader(fd, header);
  await dataSync(fd);
  return next;
}

/** Of a bitmap, bytes: of 32 GiB in blocks of 4096 bytes. */
const MOST_RESERVED = 1 << 20;

/**
 * Lays out an empty file as a delta that holds nothing. Not durable yet. There is room for its bitmap, within reason: else the
 * FLUSH of what a full disk had room for would fail.
 */
export async function initialise(fd: number, header: DeltaHeader): Promise<void> {
  await truncate(fd, fileBytesOf(header));
  const bitmap = bitmapBytesFor(header.virtualSize, header.blockSize);
  fallocate(fd, FALLOC_FL_KEEP_SIZE, BITMAP_OFFSET, Math.min(bitmap, MOST_RESERVED));
  const headers = HEADER_PLACES.map((_, index) =>
    encodeHeader({ ...header, sequence: header.sequence + index }),
  );
  await writeFully(fd, Buffer.concat(headers), HEADER_PLACES[0]);
}

/** The file is as long as it has to be for what the header shows. */
export const setLength = (fd: number, header: DeltaHeader): Promise<void> =>
  truncate(fd, fileBytesOf(header));

/** The bitmap on disk, as far as it tells of what the delta shows. Throws `DamagedDelta`. */
export async function readBits(fd: number, header: DeltaHeader, path: string): Promise<Buffer> {
  const { virtualSize, blockSize } = header;
  const bytes = await readFully(fd, BITMAP_OFFSET, bitmapBytesFor(virtualSize, blockSize));
  const blocks = blocksOf(virtualSize, blockSize);
  if (bytes.length < bitmapBytesFor(virtualSize, blockSize)) {
    throw new DamagedDelta(path, 'its bitmap is cut short');
  }
  if (isBitSetFrom(bytes, blocks)) {
    throw new DamagedDelta(path, 'its bitmap tells of blocks behind the end');
  }
  return bytes;
}

/** Writes pages of the bitmap whose data is durable, and makes them so. */
export async function writeBits(fd: number, bytes: Uint8Array): Promise<void> {
  await writeFully(fd, bytes, BITMAP_OFFSET);
  await dataSync(fd);
}

export const syncData = dataSync;

function isBitSetFrom(bytes: Buffer, first: number): boolean {
  for (let bit = first; bit < bytes.length * 8; ) {
    const byte = bytes[bit >>> 3] ?? 0;
    if ((bit & 7) === 0 && byte === 0) bit += 8;
    else if ((byte & (1 << (bit & 7))) !== 0) return true;
    else bit++;
  }
  return false;
}
