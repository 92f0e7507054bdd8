/** Appends to a log of writes, on any thread. */
import { ftruncateSync } from 'node:fs';
import { addressOf } from '../../io/file-calls.js';
import { writeFully } from '../../io/transfer.js';
import { SharedLock } from '../shared-lock.js';
import { dataSectors, ENTRY_BYTES, LogFlag, putEntry, putSuper } from './format.js';

/** Of the logs that are written here. */
export const LOG_SECTOR = 512;
/** Bytes of a mark's text. */
export const MARK_BYTES = LOG_SECTOR - ENTRY_BYTES - 1;

/** 64-bit words of what the threads share; the lock is the first 32 bits of the first. */
const Word = { TAIL: 1, ENTRIES: 2 } as const;
const SHARED_BYTES = 24;

/** What a device publishes of a log. */
export interface LogDescription {
  readonly fd: number;
  readonly shared: SharedArrayBuffer;
}

/** What a device publishes of its log of writes. */
export interface LoggedDescription extends LogDescription {
  /** Where the device begins in the store, bytes: the log counts from there. */
  readonly start: number;
}

/** An empty log. */
export const logMemory = (): SharedArrayBuffer => {
  const shared = new SharedArrayBuffer(SHARED_BYTES);
  new BigInt64Array(shared)[Word.TAIL] = 1n;
  return shared;
};

/** Its first sector. */
export function emptyLogHead(): Buffer {
  const head = Buffer.alloc(LOG_SECTOR);
  putSuper(head, { entries: 0, sectorSize: LOG_SECTOR });
  return head;
}

export class LogWriter {
  /** What belongs to one entry is done under it. */
  readonly lock: SharedLock;
  readonly #words: BigInt64Array;
  readonly #sector = Buffer.from(new ArrayBuffer(LOG_SECTOR));
  readonly #address = addressOf(this.#sector);

  constructor(private readonly log: LogDescription) {
    this.lock = new SharedLock(new Int32Array(log.shared), 0);
    this.#words = new BigInt64Array(log.shared);
  }

  get entries(): number {
    return Number(Atomics.load(this.#words, Word.ENTRIES));
  }

  /** Adds an entry of whole sectors, positions in bytes; 0 or an errno. Caller has the lock. */
  append(flags: number, position: number, length: number, address: number, text = ''): number {
    const data = Buffer.from(text);
    const entry = {
      sector: position / LOG_SECTOR,
      sectors: length / LOG_SECTOR,
      flags,
      dataLength: data.length,
    };
    const tail = Number(Atomics.load(this.#words, Word.TAIL)) * LOG_SECTOR;
    this.#sector.fill(0);
    putEntry(this.#sector, entry);
    this.#sector.set(data, ENTRY_BYTES);
    const bytes = dataSectors(entry) * LOG_SECTOR;
    let errno = writeFully(this.log.fd, this.#address, LOG_SECTOR, tail);
    if (errno === 0 && bytes > 0) errno = writeFully(this.log.fd, address, bytes, tail + LOG_SECTOR);
    if (errno !== 0) return errno;
    Atomics.add(this.#words, Word.TAIL, BigInt(1 + bytes / LOG_SECTOR));
    Atomics.add(this.#words, Word.ENTRIES, 1n);
    return this.begin();
  }

  mark(name: string): number {
    return this.lock.run(() => this.append(LogFlag.MARK, 0, 0, 0, name));
  }

  /** Writes the super block as things are. */
  begin(): number {
    this.#sector.fill(0);
    putSuper(this.#sector, { entries: this.entries, sectorSize: LOG_SECTOR });
    return writeFully(this.log.fd, this.#address, LOG_SECTOR, 0);
  }

  /** Forgets all entries; 0 or an errno. The super block keeps its place, which a full disk may not give it again. Caller has the lock. */
  clear(): number {
    Atomics.store(this.#words, Word.TAIL, 1n);
    Atomics.store(this.#words, Word.ENTRIES, 0n);
    ftruncateSync(this.log.fd, LOG_SECTOR);
    return this.begin();
  }
}
