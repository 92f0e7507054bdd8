/**
 * The header of a delta: bytes to fields and back (docs/delta-format.md). Knows no file.
 *
 * Sizes and positions are bytes, little-endian on disk, and below 2^53.
 */
import { nameFromBytes, nameToBytes } from '../../file-name.js';
import { crc32c } from './crc32c.js';

export const HEADER_BYTES = 4096;
/** Two places, of which the valid one with the higher sequence counts: one is written while the other stays. */
export const HEADER_PLACES = [0, HEADER_BYTES] as const;
export const BITMAP_OFFSET = 8192;
/** The bitmap is read and written by pages of so many bytes. */
export const BITMAP_PAGE = 4096;
/** Blocks that a page of the bitmap tells of. */
export const PAGE_BLOCKS = BITMAP_PAGE * 8;
export const DATA_ALIGNMENT = 1 << 20;
export const MIN_BLOCK = 4096;
export const MAX_BLOCK = 65_536;
/** Blocks of a disk at most: 8 TiB in blocks of 4096 bytes, 128 TiB in those of 65536. Their numbers are 32-bit integers with a sign. */
export const MAX_BLOCKS = 2 ** 31;
/** Layers of a chain at most, deltas and the file at its bottom. */
export const MAX_LAYERS = 16;
const VERSION = 1;
const MAGIC = Buffer.from('NBDDELTA', 'latin1');
const MAX_NUMBER = BigInt(Number.MAX_SAFE_INTEGER);
const NOT_TOLD = 0xffff_ffff_ffff_ffffn;

const At = {
  VERSION: 8,
  HEADER_BYTES: 12,
  SEQUENCE: 16,
  UUID: 24,
  BLOCK_SIZE: 40,
  FLAGS: 44,
  VIRTUAL_SIZE: 48,
  BITMAP_OFFSET: 56,
  BITMAP_BYTES: 64,
  DATA_OFFSET: 72,
  BASE_KIND: 80,
  PATH_BYTES: 84,
  BASE_SIZE: 88,
  BASE_MTIME: 96,
  BASE_INODE: 104,
  BASE_BIRTH: 112,
  BASE_FILE_SYSTEM: 120,
  BASE_UUID: 136,
  SESSION: 152,
  RESERVED: 160,
  PATH: 512,
  PATH_END: 3968,
  CHECKSUM: 4092,
} as const;

export const MAX_BASE_PATH = At.PATH_END - At.PATH;

const Flag = { CLEAN: 1, SEALED: 2, COMMITTING: 4 } as const;
const KINDS = { raw: 1, delta: 2 } as const;

/** What a delta is the difference from, as it was then. */
export interface DeltaBase {
  readonly kind: 'raw' | 'delta';
  /** Absolute; a hint where to look. */
  readonly path: string;
  /** Of the file; of a delta, what it shows. */
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly inode: bigint;
  /** Nanoseconds since 1970; null: the file system did not tell. */
  readonly birthTime: bigint | null;
  /** uuid of the file system, 32 hexadecimal digits; null: it did not tell. */
  readonly fileSystem: string | null;
  /** Of a delta; null for a raw file. */
  readonly uuid: string | null;
}

export interface DeltaHeader {
  /** Grows with every header that is written. */
  readonly sequence: number;
  /** How often it was opened for writing. */
  readonly session: number;
  readonly uuid: string;
  /** Bytes, a power of two, 4096 to 65536. */
  readonly blockSize: number;
  /** It was closed in order: the bitmap tells of all that was written. */
  readonly isClean: boolean;
  /** It is the base of others, and written no more. */
  readonly isSealed: boolean;
  /** Its blocks are being written into the base. */
  readonly isCommitting: boolean;
  /** Of what it shows. */
  readonly virtualSize: number;
  /** Bytes kept for the bitmap, in which it can grow. */
  readonly bitmapBytes: number;
  readonly dataOffset: number;
  readonly base: DeltaBase;
}

/** Blocks of a size that a bitmap has to tell of. */
export const blocksOf = (size: number, blockSize: number): number => Math.ceil(size / blockSize);

/** The smallest block size in which a delta can show so many bytes; undefined: there is none. */
export function blockSizeFor(size: number): number | undefined {
  let blockSize = MIN_BLOCK;
  while (blockSize <= MAX_BLOCK && blocksOf(size, blockSize) > MAX_BLOCKS) blockSize *= 2;
  return blockSize <= MAX_BLOCK ? blockSize : undefined;
}

/** Bytes of the bitmap of a disk, in whole pages. */
export const bitmapBytesFor = (size: number, blockSize: number): number =>
  Math.max(1, Math.ceil(blocksOf(size, blockSize) / PAGE_BLOCKS)) * BITMAP_PAGE;

/** The disk may grow this much before its delta must be made anew. */
const GROWTH = 8;

/** Where a new delta's parts lie. */
export function layoutFor(size: number, blockSize: number): Pick<DeltaHeader, 'bitmapBytes' | 'dataOffset'> {
  const least = BITMAP_OFFSET + bitmapBytesFor(size * GROWTH, blockSize);
  const dataOffset = Math.ceil(least / DATA_ALIGNMENT) * DATA_ALIGNMENT;
  return { bitmapBytes: dataOffset - BITMAP_OFFSET, dataOffset };
}

/** The header as it lies on disk. Throws RangeError for a path that does not fit. */
export function encodeHeader(header: DeltaHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  const { base } = header;
  const path = nameToBytes(base.path);
  if (path.length > MAX_BASE_PATH) throw new RangeError(`A base's path has at most ${MAX_BASE_PATH} bytes.`);
  const number = (at: number, value: number): number => bytes.writeBigUInt64LE(BigInt(value), at);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(VERSION, At.VERSION);
  bytes.writeUInt32LE(HEADER_BYTES, At.HEADER_BYTES);
  number(At.SEQUENCE, header.sequence);
  number(At.SESSION, header.session);
  bytes.set(uuidBytes(header.uuid), At.UUID);
  bytes.writeUInt32LE(header.blockSize, At.BLOCK_SIZE);
  bytes.writeUInt32LE(flagsOf(header), At.FLAGS);
  number(At.VIRTUAL_SIZE, header.virtualSize);
  number(At.BITMAP_OFFSET, BITMAP_OFFSET);
  number(At.BITMAP_BYTES, header.bitmapBytes);
  number(At.DATA_OFFSET, header.dataOffset);
  bytes.writeUInt32LE(KINDS[base.kind], At.BASE_KIND);
  bytes.writeUInt32LE(path.length, At.PATH_BYTES);
  number(At.BASE_SIZE, base.size);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, base.mtime), At.BASE_MTIME);
  bytes.writeBigUInt64LE(base.inode, At.BASE_INODE);
  bytes.writeBigUInt64LE(base.birthTime ?? NOT_TOLD, At.BASE_BIRTH);
  if (base.fileSystem !== null) bytes.set(uuidBytes(base.fileSystem.padStart(32, '0')), At.BASE_FILE_SYSTEM);
  if (base.uuid !== null) bytes.set(uuidBytes(base.uuid), At.BASE_UUID);
  path.copy(bytes, At.PATH);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, At.CHECKSUM)), At.CHECKSUM);
  return bytes;
}

/** True where the bytes claim to be a header, right or wrong. */
export const looksLikeDelta = (bytes: Buffer): boolean =>
  bytes.length >= MAGIC.length && bytes.subarray(0, MAGIC.length).equals(MAGIC);

/** The header, or what is wrong with it: what follows "its header". */
export function decodeHeader(bytes: Buffer): DeltaHeader | string {
  if (bytes.length < HEADER_BYTES) return 'is cut short';
  if (!looksLikeDelta(bytes)) return 'does not begin with NBDDELTA';
  const version = bytes.readUInt32LE(At.VERSION);
  if (version !== VERSION) return `is of version ${version}; known is ${VERSION}`;
  if (bytes.readUInt32LE(At.CHECKSUM) !== crc32c(bytes.subarray(0, At.CHECKSUM))) {
    return 'does not match its checksum';
  }
  return decodeFields(bytes);
}

/** Fields that a checksum vouches for may still have been made by somebody who means harm. */
function decodeFields(bytes: Buffer): DeltaHeader | string {
  const wide = (at: number): number | undefined => {
    const value = bytes.readBigUInt64LE(at);
    return value <= MAX_NUMBER ? Number(value) : undefined;
  };
  const flags = bytes.readUInt32LE(At.FLAGS);
  const blockSize = bytes.readUInt32LE(At.BLOCK_SIZE);
  const [sequence, virtualSize, bitmapBytes] = [At.SEQUENCE, At.VIRTUAL_SIZE, At.BITMAP_BYTES].map(wide);
  const [dataOffset, baseSize, session] = [At.DATA_OFFSET, At.BASE_SIZE, At.SESSION].map(wide);
  if (bytes.readUInt32LE(At.HEADER_BYTES) !== HEADER_BYTES) return 'is not of 4096 bytes';
  if (blockSize < MIN_BLOCK || blockSize > MAX_BLOCK || (blockSize & (blockSize - 1)) !== 0) {
    return `has blocks of ${blockSize} bytes: a power of two from ${MIN_BLOCK} to ${MAX_BLOCK} is meant`;
  }
  if ((flags & ~(Flag.CLEAN | Flag.SEALED | Flag.COMMITTING)) !== 0) return 'has flags that are not known';
  if (sequence === undefined || virtualSize === undefined) return 'has a number beyond 2^53';
  if (bitmapBytes === undefined || dataOffset === undefined) return 'has a number beyond 2^53';
  if (baseSize === undefined || session === undefined) {
    return 'has a number beyond 2^53';
  }
  if (wide(At.BITMAP_OFFSET) !== BITMAP_OFFSET) return 'has its bitmap elsewhere than at 8192';
  if (bitmapBytes === 0 || bitmapBytes % BITMAP_PAGE !== 0) return 'has a bitmap that is not whole pages';
  if (blocksOf(virtualSize, blockSize) > MAX_BLOCKS) return `has more than ${MAX_BLOCKS} blocks`;
  if (bitmapBytesFor(virtualSize, blockSize) > bitmapBytes) return 'has a bitmap too small for its size';
  if (dataOffset % DATA_ALIGNMENT !== 0 || dataOffset < BITMAP_OFFSET + bitmapBytes) {
    return 'has its data where it can not be';
  }
  if (dataOffset + virtualSize + MAX_BLOCK > Number.MAX_SAFE_INTEGER) return 'has a size beyond 2^53';
  const base = decodeBase(bytes, baseSize);
  if (typeof base === 'string') return base;
  if (!isZero(bytes, At.RESERVED, At.PATH)) return 'has something in reserved bytes';
  return {
    ...{ sequence, session, blockSize, virtualSize, bitmapBytes, dataOffset, base },
    uuid: uuidText(bytes, At.UUID),
    isClean: (flags & Flag.CLEAN) !== 0,
    isSealed: (flags & Flag.SEALED) !== 0,
    isCommitting: (flags & Flag.COMMITTING) !== 0,
  };
}

function decodeBase(bytes: Buffer, size: number): DeltaBase | string {
  const kindNumber = bytes.readUInt32LE(At.BASE_KIND);
  const kind = kindNumber === KINDS.raw ? 'raw' : kindNumber === KINDS.delta ? 'delta' : undefined;
  if (kind === undefined) return `has a base of a kind that is not known (${kindNumber})`;
  const length = bytes.readUInt32LE(At.PATH_BYTES);
  if (length === 0 || length > MAX_BASE_PATH) return `has a base's path of ${length} bytes`;
  const end = At.PATH + length;
  const path = bytes.subarray(At.PATH, end);
  if (path[0] !== 0x2f || path.includes(0)) return "has a base's path that is none";
  if (!isZero(bytes, end, At.CHECKSUM)) return "has something behind the base's path";
  if (kind === 'raw' && !isZero(bytes, At.BASE_UUID, At.SESSION))
    return 'has a uuid for a base that is no delta';
  const birth = bytes.readBigUInt64LE(At.BASE_BIRTH);
  return {
    ...{ kind, size, path: nameFromBytes(path) },
    mtime: bytes.readBigInt64LE(At.BASE_MTIME),
    inode: bytes.readBigUInt64LE(At.BASE_INODE),
    birthTime: birth === NOT_TOLD ? null : birth,
    fileSystem: isZero(bytes, At.BASE_FILE_SYSTEM, At.BASE_UUID)
      ? null
      : bytes.toString('hex', At.BASE_FILE_SYSTEM, At.BASE_UUID),
    uuid: kind === 'delta' ? uuidText(bytes, At.BASE_UUID) : null,
  };
}

const flagsOf = ({ isClean, isSealed, isCommitting }: DeltaHeader): number =>
  (isClean ? Flag.CLEAN : 0) | (isSealed ? Flag.SEALED : 0) | (isCommitting ? Flag.COMMITTING : 0);

const isZero = (bytes: Buffer, from: number, to: number): boolean =>
  bytes.subarray(from, to).every((byte) => byte === 0);

const uuidBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex').subarray(0, 16);

const uuidText = (bytes: Buffer, at: number): string =>
  bytes.toString('hex', at, at + 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
