import type { Errno } from '../backend.js';
import { CmdFlag } from '../wire/constants.js';
import type { Replied } from '../wire/reply.js';
import type { Request } from '../wire/request.js';
import type { Operation } from './operations.js';

const PAGE = 4096;

/** The payload of a WRITE that is arriving, or of a refused request that is being drained. */
export class Payload implements Replied {
  active = false;
  cookieHigh = 0;
  cookieLow = 0;
  /** The request's own. */
  offset = 0;
  length = 0;
  offsetHigh = 0;
  offsetLow = 0;
  /** Where the next piece goes, bytes. */
  position = 0;
  /** Bytes still to come. */
  remaining = 0;
  fua = false;
  /** Once set, the rest is drained and this is the answer. */
  errno: Errno = 0;
  /** Collects the payload where it is to be written in one go. */
  operation: Operation | undefined;

  begin(request: Request, errno: Errno): void {
    this.active = true;
    this.cookieHigh = request.cookieHigh;
    this.cookieLow = request.cookieLow;
    this.offsetHigh = request.offsetHigh;
    this.offsetLow = request.offsetLow;
    this.offset = request.offset;
    this.length = request.length;
    this.position = request.offset;
    this.remaining = request.length;
    this.fua = (request.flags & CmdFlag.FUA) !== 0;
    this.errno = errno;
  }

  end(): void {
    this.active = false;
    this.operation = undefined;
  }

  /** How many of `available` bytes to take now: all that is left, or up to a page boundary of the device. */
  piece(available: number): number {
    if (available >= this.remaining) return this.remaining;
    if (this.errno !== 0 || this.operation !== undefined) return available;
    return Math.max(0, available - ((this.position + available) % PAGE));
  }

  collect(bytes: Uint8Array): void {
    this.operation?.memory?.bytes.set(bytes, this.position - this.offset);
  }

  advance(count: number): void {
    this.position += count;
    this.remaining -= count;
  }
}
