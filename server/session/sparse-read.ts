import type { Backend, Errno } from '../backend.js';
import { areZeroes } from '../system/sockets.js';
import type { Replied } from '../wire/reply.js';
import type { Output } from './output.js';
import type { Replies } from './replies.js';

/** Most runs of data and hole a READ is answered in; what lies behind them is sent as data. */
const MAX_RUNS = 16;
/** Chunk headers of such a reply, at most; a hole's is 4 bytes longer than that of data. */
export const MAX_RUN_HEADERS = MAX_RUNS + 1;

/** What of a READ is answered; `isLast`: nothing of it follows. */
export interface Part {
  readonly offset: number;
  readonly length: number;
  readonly isLast: boolean;
}

/**
 * Answers a READ in chunks, one per run. Data that is zeroes is sent as a hole, too: where the file system is not to be
 * asked for holes that spares the network what it can. The range is admitted and there is room for all of it. On an error the
 * caller takes back what was written.
 */
export function readRuns(backend: Backend, out: Output, replies: Replies, to: Replied, part: Part): Errno {
  const end = part.offset + part.length;
  let position = part.offset;
  for (let run = 1; position < end; run++) {
    const left = end - position;
    const extent = run > MAX_RUNS ? left : backend.extent(position, left);
    const length = Math.abs(extent);
    const last = length === left && part.isLast;
    const errno =
      extent < 0 ? 0 : backend.read(out.address + out.length + replies.dataHeaderBytes, position, length);
    if (errno !== 0) return errno;
    if (extent < 0 || areZeroes(out.address + out.length + replies.dataHeaderBytes, length)) {
      replies.hole(to, position, length, last);
    } else {
      replies.data(to, position, length, last);
      replies.follow(length);
    }
    position += length;
  }
  return 0;
}
