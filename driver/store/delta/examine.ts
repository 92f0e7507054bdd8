/** What a delta's file is and what is wrong with it, looked at without a daemon: `nbdloop delta`. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { nameToBytes } from '../../file-name.js';
import { lockOfOther } from '../../io/file-lock.js';
import { countBits, isSet, runFrom } from './blocks.js';
import { DamagedDelta, fileBytesOf, presentHeader, readHeaders, readInto } from './delta-file.js';
import {
  BITMAP_OFFSET,
  BITMAP_PAGE,
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
  const user = userOf(file.fd);
  if (user !== undefined) notes.push(user);
  const { held, behind, isCut } = await countHeld(file, header);
  if (isCut) faults.push('the bitmap is cut short');
  if (behind > 0) faults.push(`the bitmap tells of ${behind} blocks behind the end`);
  const chain = await followChain(header, path, faults);
  return { ...about, header, heldBlocks: held, chain, faults, notes };
}

function userOf(fd: number): string | undefined {
  const lock = lockOfOther(fd);
  if (lock === undefined) return undefined;
  return lock === 'write' ? 'a daemon writes it at this moment' : 'a daemon has it as the base of others';
}

/** How many blocks it holds, and how many it tells of that are none. */
async function countHeld(
  file: FileHandle,
  header: DeltaHeader,
): Promise<{ readonly held: number; readonly behind: number; readonly isCut: boolean }> {
  const blocks = blocksOf(header.virtualSize, header.blockSize);
  let [held, all, end] = [0, 0, 0];
  for await (const { first, words, isEmpty } of bitmapOf(file, header)) {
    end = first + words.length * 32;
    if (isEmpty) continue;
    all += countBits(words, words.length * 32);
    held += countBits(words, Math.min(Math.max(blocks - first, 0), words.length * 32));
  }
  return { held, behind: all - held, isCut: end < blocks };
}

/**
 * What the delta holds, in order, some runs at a time: a large one may have billions. Throws `DamagedDelta` where it has no
 * header.
 */
export async function* mapDelta(path: string): AsyncGenerator<HeldRun[]> {
  const file = await open(nameToBytes(path), LOOK);
  try {
    const header = presentHeader(await readHeaders(file.fd));
    if (header === undefined) throw new DamagedDelta(path, 'it has no header that can be used');
    const { virtualSize, blockSize } = header;
    const blocks = blocksOf(virtualSize, blockSize);
    // The last one may go on in the part that follows.
    let last: HeldRun | undefined;
    for await (const { first, words, isEmpty } of bitmapOf(file, header)) {
      let runs: HeldRun[] = [];
      const end = Math.min(blocks - first, words.length * 32);
      for (let block = 0; block < end; ) {
        const length = isEmpty ? end : runFrom(words, block, end);
        const offset = (first + block) * blockSize;
        const run = {
          ...{ offset, length: Math.min(length * blockSize, virtualSize - offset) },
          held: isSet(words, block),
        };
        if (last !== undefined && last.held === run.held)
          last = { ...last, length: last.length + run.length };
        else {
          if (last !== undefined) runs.push(last);
          last = run;
        }
        block += length;
        if (runs.length < AT_ONCE) continue;
        yield runs;
        runs = [];
      }
      if (runs.length > 0) yield runs;
    }
    if (last !== undefined) yield [last];
  } finally {
    await file.close();
  }
}

/** Bytes of the bitmap that are looked at at a time. */
const PART = 16 * BITMAP_PAGE;
const EMPTY = Buffer.alloc(PART);
/** Runs that are told of at a time. */
const AT_ONCE = 4096;

interface BitmapPart {
  /** The block of its first bit. */
  readonly first: number;
  readonly words: Int32Array;
  readonly isEmpty: boolean;
}

/** The bitmap part by part, as far as the file goes; all parts are in the same memory. */
async function* bitmapOf(
  file: FileHandle,
  { virtualSize, blockSize }: DeltaHeader,
): AsyncGenerator<BitmapPart> {
  const bytes = bitmapBytesFor(virtualSize, blockSize);
  const memory = Buffer.from(new ArrayBuffer(Math.min(PART, bytes)));
  for (let at = 0; at < bytes; at += PART) {
    const wanted = memory.subarray(0, Math.min(PART, bytes - at));
    const there = await readInto(file.fd, wanted, BITMAP_OFFSET + at);
    wanted.fill(0, there);
    const words = new Int32Array(memory.buffer, 0, Math.ceil(there / 4));
    if (there > 0) yield { first: at * 8, words, isEmpty: wanted.equals(EMPTY.subarray(0, wanted.length)) };
    if (there < PART) return;
  }
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
