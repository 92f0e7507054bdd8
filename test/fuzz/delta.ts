/**
 * Files that may be deltas. An input is a list of changes to a sound one, 12 bytes each: what, which headers, where, and a value.
 * Whatever comes of it, looking at it ends with an answer, and all that look at it agree.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { crc32c } from '../../driver/store/delta/crc32c.js';
import { DamagedDelta, fileBytesOf, readBits, readHeader } from '../../driver/store/delta/delta-file.js';
import { examineDelta, mapDelta } from '../../driver/store/delta/examine.js';
import {
  BITMAP_OFFSET,
  type DeltaHeader,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  HEADER_PLACES,
  layoutFor,
} from '../../driver/store/delta/header.js';
import { TempDir } from '../helpers/temp.js';
import type { Random } from './random.js';

const RECORD = 12;
const MOST_RECORDS = 12;
/** Of the disk; its last block is not whole. */
const SIZE = 300_000;
const CHECKSUM_AT = HEADER_BYTES - 4;
const PATH_AT = 512;
const PATH_BYTES_AT = 84;
const What = { WIDE: 0, WORD: 1, BYTE: 2, BIT: 3, LENGTH: 4, WRONG_CHECKSUM: 5, BASE: 6, KINDS: 7 } as const;

export class DeltaFiles implements Disposable {
  readonly #dir = new TempDir();
  readonly #path = this.#dir.file('delta');
  readonly #header: DeltaHeader;
  /** What the base's path may lead to instead. */
  readonly #bases: readonly string[];

  constructor() {
    const base = this.#dir.file('base');
    writeFileSync(base, Buffer.alloc(SIZE));
    const { ino, mtimeNs } = statSync(base, { bigint: true });
    const about = { kind: 'raw', path: base, size: SIZE, mtime: mtimeNs, inode: ino } as const;
    this.#header = {
      ...{ sequence: 1, session: 3, uuid: randomUUID(), blockSize: 4096, virtualSize: SIZE },
      ...{ isClean: true, isSealed: false, isCommitting: false, ...layoutFor(SIZE, 4096) },
      base: { ...about, birthTime: null, fileSystem: null, uuid: null },
    };
    const fifo = this.#dir.file('fifo');
    spawnSync('mkfifo', [fifo]);
    mkdirSync(this.#dir.file('directory'));
    const names = ['directory', 'missing', `${'x/'.repeat(1000)}x`].map((name) => this.#dir.file(name));
    this.#bases = [base, this.#path, fifo, '/dev/zero', '/proc/self/mem', ...names];
  }

  /** Returns what was found in words; throws where the answers do not fit together. */
  async run(input: Buffer): Promise<readonly string[]> {
    this.#make(input);
    const { faults, header, heldBlocks } = await examineDelta(this.#path);
    const opened = await this.#open();
    const about = JSON.stringify(faults);
    if (typeof opened === 'string' && faults.length === 0) throw new Error(`sound, but refused: ${opened}`);
    if (typeof opened === 'string') return [...faults.map(inWords), inWords(opened)];
    if (header === undefined) throw new Error(`it can be opened, and has no header: ${about}`);
    if (opened.held !== heldBlocks) throw new Error(`${heldBlocks} blocks are held, or ${opened.held}`);
    await this.#expectMap(header.virtualSize);
    return faults.map(inWords);
  }

  /** What a bind reads of it, or why that is refused. */
  async #open(): Promise<{ readonly held: number } | string> {
    const file = await open(this.#path, 'r');
    try {
      const header = await readHeader(file.fd, this.#path);
      await expectSameBytes(file, header);
      const bits = await readBits(file.fd, header, this.#path);
      return { held: bits.reduce((sum, byte) => sum + ones(byte), 0) };
    } catch (error) {
      if (error instanceof DamagedDelta) return error.message;
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Its runs tell of the whole disk, in turns. */
  async #expectMap(size: number): Promise<void> {
    let [at, last]: [number, boolean | undefined] = [0, undefined];
    for await (const runs of mapDelta(this.#path)) {
      for (const { offset, length, held } of runs) {
        if (offset !== at || length <= 0 || held === last) throw new Error(`the map is wrong at ${offset}`);
        [at, last] = [at + length, held];
      }
    }
    if (at !== size) throw new Error(`the map tells of ${at} bytes in place of ${size}`);
  }

  #make(input: Buffer): void {
    const head = Buffer.alloc(BITMAP_OFFSET + 4096);
    for (const [index, place] of HEADER_PLACES.entries()) {
      encodeHeader({ ...this.#header, sequence: index + 1 }).copy(head, place);
    }
    head.writeUInt8(0x81, BITMAP_OFFSET);
    let bytes = fileBytesOf(this.#header);
    const isWrong = [false, false];
    for (let at = 0; at + RECORD <= input.length; at += RECORD) {
      const what = input.readUInt8(at) % What.KINDS;
      const which = input.readUInt8(at + 1);
      const where = input.readUInt16LE(at + 2);
      const value = input.readBigUInt64LE(at + 4);
      if (what === What.BIT) head.writeUInt8(Number(value & 0xffn), BITMAP_OFFSET + (where % 4096));
      else if (what === What.LENGTH) bytes = Number(value % BigInt(1 << 22));
      else
        for (const [index, place] of HEADER_PLACES.entries()) {
          if (((which >> index) & 1) === 1) continue;
          if (what === What.WRONG_CHECKSUM) isWrong[index] = true;
          else this.#change(head.subarray(place, place + HEADER_BYTES), what, where, value);
        }
    }
    for (const [index, place] of HEADER_PLACES.entries()) {
      const one = head.subarray(place, place + HEADER_BYTES);
      if (!isWrong[index]) one.writeUInt32LE(crc32c(one.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
    }
    writeFileSync(this.#path, head);
    truncateSync(this.#path, bytes);
  }

  #change(header: Buffer, what: number, where: number, value: bigint): void {
    if (what === What.WIDE) header.writeBigUInt64LE(value, where % (CHECKSUM_AT - 8));
    else if (what === What.WORD) header.writeUInt32LE(Number(value & 0xffffffffn), where % (CHECKSUM_AT - 4));
    else if (what === What.BYTE) header.writeUInt8(Number(value & 0xffn), where % CHECKSUM_AT);
    else {
      const path = Buffer.from(this.#bases[where % this.#bases.length] ?? '');
      header.fill(0, PATH_AT, CHECKSUM_AT);
      header.writeUInt32LE(path.copy(header, PATH_AT), PATH_BYTES_AT);
    }
  }

  [Symbol.dispose](): void {
    this.#dir[Symbol.dispose]();
  }
}

/** A header that is accepted says no more than what is written of it. */
async function expectSameBytes(file: FileHandle, header: DeltaHeader): Promise<void> {
  for (const place of HEADER_PLACES) {
    const bytes = Buffer.alloc(HEADER_BYTES);
    await file.read(bytes, 0, HEADER_BYTES, place);
    const one = decodeHeader(bytes);
    if (typeof one === 'string' || one.sequence !== header.sequence) continue;
    if (!encodeHeader(one).equals(bytes)) throw new Error(`the header at ${place} comes back as another`);
    return;
  }
}

const ones = (byte: number): number => byte.toString(2).replaceAll('0', '').length;

/** Without names and numbers, so that what is new is new. */
const inWords = (fault: string): string => fault.replace(/\/\S*/g, '/').replace(/\d+/g, 'N');

/** Where a header has its numbers. */
const FIELDS = [
  ...[0, 8, 12, 16, 24, 40, 44, 48, 56, 64, 72, 80, 84, 88, 96, 104, 112, 120, 136, 152, 160, 512],
];
const NUMBERS = [0n, 1n, 2n, 4n, 7n, 512n, 4095n, 4096n, 8192n, 65536n, 1n << 20n, 1n << 21n];
const LONG = [31n, 32n, 40n, 43n, 44n, 52n, 53n, 63n].flatMap((n) => [(1n << n) - 1n, 1n << n]);

/** A changed copy of an input of the corpus. */
export function changeDelta(random: Random, corpus: readonly Buffer[]): Buffer {
  const input = random.pick(corpus);
  const records = Array.from({ length: input.length / RECORD }, (_, index) =>
    input.subarray(index * RECORD, (index + 1) * RECORD),
  );
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(records.length + 1);
    records.splice(at, random.once(3) ? 1 : 0, ...(random.once(6) ? [] : [someRecord(random)]));
  }
  return Buffer.concat(records.slice(0, MOST_RECORDS));
}

function someRecord(random: Random): Buffer {
  const record = random.bytes(RECORD);
  if (random.once(4)) return record;
  const value = random.pick(random.once(2) ? NUMBERS : LONG);
  record.writeUInt8(random.pick([0, 0, 3]), 1);
  record.writeUInt16LE(random.pick(FIELDS), 2);
  record.writeBigUInt64LE(value, 4);
  return record;
}
