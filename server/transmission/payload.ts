import type { Errno } from '../backend.js';
import { CmdFlag } from '../wire/constants.js';
import type { Replied } from '../wire/reply.js';
import type { Request } from '../wire/request.js';

const PAGE = 4096;

/** The payload of a WRITE that is arriving, or of a refused request that is being drained. */
export class Payload implements Replied {
  active = false;
  cookieHigh = 0;
  cookieLow = 0;
  /** The request's own, for the reply. */
  offsetHigh = 0;
  offsetLow = 0;
  /** Where the next piece goes, bytes. */
  position = 0;
  /** Bytes still to come. */
  remaining = 0;
  fua = false;
  /** Once set, the rest is drained and this is the answer. */
  errno: Errno = 0;

  begin(request: Request, errno: Errno): void {
    this.active = true;
    this.cookieHigh = request.cookieHigh;
    this.cookieLow = request.cookieLow;
    this.offsetHigh = request.offsetHigh;
    this.offsetLow = request.offsetLow;
    this.position = request.offset;
    this.remaining = request.length;
    this.fua = (request.flags & CmdFlag.FUA) !== 0;
    this.errno = errno;
  }

  /** How many of `available` bytes to take now: all that is left, or up to a page boundary of the device. */
  piece(available: number): number {
    if (available >= this.remaining) return this.remaining;
    if (this.errno !== 0) return available;
    return Math.max(0, available - ((this.position + available) % PAGE));
  }

  advance(count: number): void {
    this.position += count;
    this.remaining -= count;
  }
}
