/** Reads a log of writes, whoever wrote it. */
import { fstatSync, readSync } from 'node:fs';
import { dataSectors, ENTRY_BYTES, type LogEntry, LogFlag, readEntry, readSuper } from './format.js';

/** What is wrong with a log, in words. */
export class LogError extends Error {
  override readonly name = 'LogError';
}

/** An entry, in bytes. */
export interface ReadEntry {
  /** From 1 on. */
  readonly number: number;
  readonly flags: number;
  /** Of the device. */
  readonly position: number;
  readonly length: number;
  /** Where its data is in the log; meaningful where there is some. */
  readonly dataAt: number;
  /** Of data in the log. */
  readonly dataLength: number;
  /** Of a mark; else empty. */
  readonly mark: string;
}

export class LogReader {
  readonly entries: number;
  readonly #sectorSize: number;

  /** Throws LogError. */
  constructor(private readonly fd: number) {
    const first = Buffer.alloc(512);
    const got = readSync(fd, first, 0, first.length, 0);
    const head = readSuper(first.subarray(0, got));
    if (typeof head === 'string') throw new LogError(head);
    this.entries = head.entries;
    this.#sectorSize = head.sectorSize;
  }

  /** All entries in their order. Throws LogError at one that can't be. */
  *read(): Generator<ReadEntry, void, undefined> {
    const unit = this.#sectorSize;
    const sector = Buffer.alloc(unit);
    const { size } = fstatSync(this.fd);
    let at = unit;
    for (let number = 1; number <= this.entries; number++) {
      const got = readSync(this.fd, sector, 0, unit, at);
      const entry: LogEntry | string = got < unit ? 'the log ends before it' : readEntry(sector, unit);
      if (typeof entry === 'string') throw new LogError(`entry ${number}: ${entry}`);
      const dataLength = dataSectors(entry) * unit;
      const isMark = (entry.flags & LogFlag.MARK) !== 0;
      // A block device, which dm-log-writes needs, tells no size.
      if (size > 0 && at + unit + dataLength > size)
        throw new LogError(`entry ${number}: the log ends within it`);
      yield {
        number,
        flags: entry.flags,
        position: entry.sector * unit,
        length: entry.sectors * unit,
        dataAt: at + unit,
        dataLength,
        mark: isMark ? sector.toString('utf8', ENTRY_BYTES, ENTRY_BYTES + entry.dataLength) : '',
      };
      at += unit + dataLength;
    }
  }
}
