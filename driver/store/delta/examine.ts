/** What a delta's file is and what is wrong with it, looked at without a daemon: `nbdloop delta`. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { nameToBytes } from '../../file-name.js';
import { countBits, isSet, runFrom } from './blocks.js';
import { DamagedDelta, fileBytesOf, presentHeader, readFully, readHeaders } from './delta-file.js';
import {
  BITMAP_OFFSET,
  bitmapBytesFor,
  blocksOf,
  type DeltaHeader,
  HEADER_PLACES,
  MAX_LAYERS,
} from './header.js';

export interface Examined {
  readonly path: string;
  /** Undefined: there is none that can be used. */
  readonly header: DeltaHeader | undefined;
  /** Bytes of the file, and of room that it takes. */
  readonly fileBytes: number;
  readonly roomBytes: number;
  readonly heldBlocks: number;
  /** From the delta's base down, as far as they are found. */
  readonly chain: readonly string[];
  /** What is wrong: sentences without an end. */
  readonly faults: readonly string[];
  /** What is worth to know. */
  readonly notes: readonly string[];
}

/** Runs of blocks that are held or not, bytes. */
export interface HeldRun {
  readonly offset: number;
  readonly length: number;
  readonly held: boolean;
}

/** A name that is a FIFO, or a terminal, is not waited for. */
const LOOK = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Rejects with Node's error of open(2) where the file can't be read. */
export async function examineDelta(path: string): Promise<Examined> {
  const file = await open(nameToBytes(path), LOOK);
  try {
    return await examineOpen(file, path);
  } finally {
    await file.close();
  }
}

async function examineOpen(file: FileHandle, path: string): Promise<Examined> {
  const stats = await file.stat();
  const faults: string[] = [];
  const notes: string[] = [];
  const about = { path, fileBytes: stats.size, roomBytes: stats.blocks * 512 };
  if (!stats.isFile()) {
    return {
      ...about,
      header: undefined,
      heldBlocks: 0,
      chain: [],
      faults: ['it is no regular file'],
      notes,
    };
  }
  const headers = await readHeaders(file.fd);
  const header = presentHeader(headers);
  for (const [index, one] of headers.entries()) {
    if (typeof one !== 'string') continue;
    const rest = header === undefined ? '' : `; the one at ${HEADER_PLACES[index === 0 ? 1 : 0]} counts`;
    faults.push(`the header at ${HEADER_PLACES[index]} ${one}${rest}`);
  }
  if (header === undefined) return { ...about, header, heldBlocks: 0, chain: [], faults, notes };
  const wanted = fileBytesOf(header);
  if (stats.size < wanted) faults.push(`the file is cut short: ${stats.size} bytes in place of ${wanted}`);
  if (stats.size > wanted) notes.push(`the file is longer than what it shows: "nbdlosetup -c" takes that up`);
  if (!header.isClean) notes.push('it was not closed in order, or is in use');
  if (header.isCommitting) notes.push('it is being written into its base, or that was cut short');
  const bits = await readBitmap(file, header);
  const blocks = blocksOf(header.virtualSize, header.blockSize);
  const words = wordsOfBytes(bits);
  if (bits.length * 8 < blocks) faults.push('the bitmap is cut short');
  const all = words.length * 32;
  const behind = countBits(words, all) - countBits(words, Math.min(blocks, all));
  if (behind > 0) faults.push(`the bitmap tells of ${behind} blocks behind the end`);
  const chain = await followChain(header, path, faults);
  return { ...about, header, heldBlocks: countBits(words, Math.min(blocks, all)), chain, faults, notes };
}

/** What the delta holds, in order. Throws `DamagedDelta` where it has no header. */
export async function mapDelta(path: string): Promise<HeldRun[]> {
  const file = await open(nameToBytes(path), LOOK);
  try {
    const header = presentHeader(await readHeaders(file.fd));
    if (header === undefined) throw new DamagedDelta(path, 'it has no header that can be used');
    const { virtualSize, blockSize } = header;
    const words = wordsOfBytes(await readBitmap(file, header));
    const runs: HeldRun[] = [];
    const blocks = Math.min(blocksOf(virtualSize, blockSize), words.length * 32);
    for (let block = 0; block < blocks; ) {
      const length = runFrom(words, block, blocks);
      const offset = block * blockSize;
      const bytes = Math.min(length * blockSize, virtualSize - offset);
      runs.push({ offset, length: bytes, held: isSet(words, block) });
      block += length;
    }
    return runs;
  } finally {
    await file.close();
  }
}

/** As far as the file goes. */
async function readBitmap(file: FileHandle, { virtualSize, blockSize }: DeltaHeader): Promise<Buffer> {
  const { size } = await file.stat();
  const there = Math.max(0, size - BITMAP_OFFSET);
  return await readFully(file.fd, BITMAP_OFFSET, Math.min(bitmapBytesFor(virtualSize, blockSize), there));
}

/** Of what is there; a file may be cut anywhere. */
function wordsOfBytes(bytes: Buffer): Int32Array {
  const whole = new Uint8Array(Math.max(4, Math.ceil(bytes.length / 4) * 4));
  whole.set(bytes);
  return new Int32Array(whole.buffer);
}

async function followChain(top: DeltaHeader, path: string, faults: string[]): Promise<string[]> {
  const chain: string[] = [];
  let [above, by]: [DeltaHeader, string] = [top, path];
  while (chain.length <= MAX_LAYERS) {
    const { base } = above;
    chain.push(base.path);
    const below = await examineBase(above, by, faults);
    if (below === undefined) return chain;
    [by, above] = [base.path, below];
  }
  faults.push(`there are more than ${MAX_LAYERS} deltas, or they go round in a circle`);
  return chain;
}

/** The header of the base where that is a delta, if it can be had. What is being committed into it has changed it. */
async function examineBase(
  { base, isCommitting }: DeltaHeader,
  by: string,
  faults: string[],
): Promise<DeltaHeader | undefined> {
  const failed = (what: string, error: unknown): undefined => {
    const { code } = error as NodeJS.ErrnoException;
    faults.push(`the base ${base.path} of ${by} can't be ${what} (${code ?? 'EIO'})`);
  };
  let file: FileHandle;
  try {
    file = await open(nameToBytes(base.path), LOOK);
  } catch (error) {
    return failed('opened', error);
  }
  try {
    const { ino, size, mtimeNs } = await file.stat({ bigint: true });
    const isDisk = !(await file.stat()).isFile();
    const header = base.kind === 'delta' && !isDisk ? presentHeader(await readHeaders(file.fd)) : undefined;
    if (base.kind === 'delta' && header === undefined)
      faults.push(`the base ${base.path} of ${by} is no delta`);
    else if (header !== undefined && header.uuid !== base.uuid) {
      faults.push(`the base ${base.path} of ${by} is another delta than it was`);
    } else if (BigInt.asUintN(64, ino) !== base.inode) {
      faults.push(`the base ${base.path} of ${by} is another file than it was`);
    } else if (
      !isDisk &&
      !isCommitting &&
      ((base.mtime !== 0n && mtimeNs !== base.mtime) || (header?.virtualSize ?? Number(size)) !== base.size)
    ) {
      faults.push(`the base ${base.path} of ${by} was changed since`);
    }
    return header;
  } catch (error) {
    return failed('read', error);
  } finally {
    await file.close();
  }
}
