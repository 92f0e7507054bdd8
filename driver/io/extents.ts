import { constants } from 'node:os';
import * as file from './file-calls.js';

const { ENXIO } = constants.errno;

/** What is known of a file; the functions here learn. */
export interface Extents {
  /** False once SEEK_DATA failed: the file system can't tell, all is data. */
  seek: boolean;
  /** A run of the file that was data when last looked at, bytes. */
  dataStart: number;
  dataEnd: number;
}

/**
 * The run at `position`: its length in bytes, at most `length`; negative where it is a hole (SEEK_DATA,
 * SEEK_HOLE). Past the end of the file is a hole. Never 0 for a positive `length`.
 */
export function extentAt(fd: number, position: number, length: number, known: Extents): number {
  if (!known.seek) return length;
  const data = file.lseek(fd, position, file.SEEK_DATA);
  if (data < 0) {
    if (file.errno() === ENXIO) return -length;
    known.seek = false;
    return length;
  }
  if (data > position) return -Math.min(length, data - position);
  const hole = file.lseek(fd, position, file.SEEK_HOLE);
  // Between the two calls the data may have been punched out: then what is known is that it was data.
  return hole > position ? Math.min(length, hole - position) : length;
}

/**
 * True when the whole range was data when this thread last looked. SEEK_HOLE may walk every page of a long run
 * (tmpfs: 5 ms for 1 GiB), so the run is remembered; taking a hole for data does no harm, the reverse is never done.
 */
export function isKnownData(fd: number, position: number, length: number, known: Extents): boolean {
  if (position >= known.dataStart && position + length <= known.dataEnd) return true;
  const run = extentAt(fd, position, Number.MAX_SAFE_INTEGER - position, known);
  if (run < length) return false;
  known.dataStart = position;
  known.dataEnd = position + run;
  return true;
}
