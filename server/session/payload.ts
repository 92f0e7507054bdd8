import type { Errno } from '../backend.js';
import { CmdFlag } from '../wire/constants.js';
import { Kept } from '../wire/kept.js';
import type { Request } from '../wire/request.js';
import type { Operation } from './operation.js';

const PAGE = 4096;

/** The payload of a WRITE that is arriving, or of a refused request that is being drained. */
export class Payload extends Kept {
  active = false;
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
    this.keep(request);
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
