import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';
import * as file from './file-calls.js';

const { ENXIO } = constants.errno;

/** Milliseconds for which a run of data is reported without another look. */
export const REMEMBERED = 1000;

/** What is known of a file; the functions here learn. */
export interface Extents {
  /** False where SEEK_DATA fails, or is not to be believed (`tellsHoles`): all is data. */
  seek: boolean;
  /** The run of data that was found last, bytes of the file. */
  dataStart: number;
  dataEnd: number;
  /** When that was, milliseconds of `performance.now()`; -Infinity: parts of it may have become holes since. */
  dataSeen: number;
}

/**
 * The run at `position`: its length in bytes, at most `length`; negative where it is a hole. Past the end of the file
 * is a hole. Never 0 for a positive `length`. It is whole blocks of `block` bytes, or ends with `length`: a block of which
 * some is data is data, since direct I/O reads no part of one. A client asks for the runs of a file one after the other,
 * and a look may walk all that follows (see `find`): so the last one counts for a while.
 */
export function extentAt(
  fd: number,
  position: number,
  length: number,
  known: Extents,
  block: number,
): number {
  const isFresh = performance.now() - known.dataSeen < REMEMBERED;
  const run = isFresh && isInside(position, known) ? known.dataEnd - position : find(fd, position, known);
  // Data is rounded up, a hole down; one of less than a block is none.
  const whole = Math.ceil(run / block) * block || block;
  return whole < 0 ? -Math.min(length, -whole) : Math.min(length, whole);
}

/**
 * True when the whole range was data when this thread last looked, however long ago: taking a hole for data does no
 * harm to a READ, and the reverse is never done.
 */
export function isKnownData(fd: number, position: number, length: number, known: Extents): boolean {
  if (isInside(position, known) && position + length <= known.dataEnd) return true;
  return find(fd, position, known) >= length;
}

const isInside = (position: number, { dataStart, dataEnd }: Extents): boolean =>
  position >= dataStart && position < dataEnd;

/**
 * The run at `position`, negative where it is a hole (SEEK_DATA, SEEK_HOLE); Infinity where nothing ends it. Of a long
 * run SEEK_HOLE may walk every page (tmpfs: 5 ms for 1 GiB).
 */
function find(fd: number, position: number, known: Extents): number {
  if (!known.seek) return Infinity;
  const data = file.lseek(fd, position, file.SEEK_DATA);
  if (data < 0) {
    if (file.errno() === ENXIO) return -Infinity;
    known.seek = false;
    return Infinity;
  }
  if (data > position) return position - data;
  const hole = file.lseek(fd, position, file.SEEK_HOLE);
  // Between the two calls the data may have been punched out: then what is known is that it was data.
  if (hole <= position) return Infinity;
  known.dataStart = position;
  known.dataEnd = hole;
  known.dataSeen = performance.now();
  return hole - position;
}
