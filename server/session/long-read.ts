import type { Errno } from '../backend.js';
import { CmdFlag } from '../wire/constants.js';
import type { Replied } from '../wire/reply.js';
import type { Request } from '../wire/request.js';
import { type Link, Status } from './link.js';
import { PLAIN_REPLY_BYTES } from './replies.js';
import { MAX_RUN_HEADERS, readRuns } from './sparse-read.js';

/** A READ longer than this is answered in pieces. */
export const LONG_READ = 1 << 20;
/** Bytes of a piece: they fit what a reactor keeps for replies. */
const PIECE = 512 << 10;

/**
 * A READ so long that others would wait for it, and a peer that takes nothing would have all of it kept. Each piece
 * is a request of its own to the queue. Where fragments are allowed each is chunks of its own, and what was under way before
 * may be answered between two of them. Else the reply is whole: it begins when nothing is under way, and the header comes
 * first: a chunk is filled up with zeroes, and an error told behind it. A simple reply has no place for one, so all of it
 * is looked at before it begins; what fails nevertheless ends the session, as the document asks ("Request types",
 * NBD_CMD_READ).
 */
export class LongRead implements Replied {
  active = false;
  cookieHigh = 0;
  cookieLow = 0;
  offsetHigh = 0;
  offsetLow = 0;
  #isWhole = false;
  /** The header of a whole reply is written. */
  #isBegun = false;
  #position = 0;
  #remaining = 0;
  /** Bytes that are yet to be looked at. */
  #unseen = 0;
  /** What went wrong in the middle of a chunk. */
  #errno: Errno = 0;

  constructor(private readonly link: Link) {}

  /** Answers at once what may not be read. */
  begin(request: Request): Status {
    const { backend, out, replies, underWay } = this.link;
    const isWhole = replies.mode === 'simple' || (request.flags & CmdFlag.DF) !== 0;
    // What is under way would be answered between two pieces of it.
    if (isWhole && underWay.count > 0) return Status.BUSY;
    if (!out.room(2 * PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    if (!backend.enter()) return Status.PARKED;
    const errno = backend.admit('read', request.offset, request.length);
    backend.exit();
    if (errno !== 0) {
      replies.plain(request, errno);
      return Status.OPEN;
    }
    this.cookieHigh = request.cookieHigh;
    this.cookieLow = request.cookieLow;
    this.offsetHigh = request.offsetHigh;
    this.offsetLow = request.offsetLow;
    this.#position = request.offset;
    this.#remaining = request.length;
    this.#unseen = replies.mode === 'simple' ? request.length : 0;
    this.#isWhole = isWhole;
    this.#errno = 0;
    this.active = true;
    this.#isBegun = false;
    return Status.OPEN;
  }

  /** Answers the next piece; OPEN, or why it must wait. CUT_SHORT when there is no way to go on. */
  step(): Status {
    const { backend, out, replies } = this.link;
    const piece = Math.min(this.#unseen || this.#remaining, PIECE);
    const headers = MAX_RUN_HEADERS * (replies.dataHeaderBytes + 4) + PLAIN_REPLY_BYTES;
    if (!out.room(piece + headers)) return Status.BLOCKED;
    if (!backend.enter()) return Status.PARKED;
    const errno = this.#next(piece);
    backend.exit();
    if (errno !== 0) {
      if (this.#isBegun && replies.mode === 'simple') return Status.CUT_SHORT;
      replies.plain(this, errno);
      this.#remaining = 0;
    }
    this.active = this.#remaining > 0;
    return Status.OPEN;
  }

  #next(piece: number): Errno {
    if (this.#unseen > 0) return this.#look(piece);
    return this.#isWhole ? this.#readWhole(piece) : this.#readChunks(piece);
  }

  #look(length: number): Errno {
    const { backend, out } = this.link;
    const offset = this.#position + this.#remaining - this.#unseen;
    this.#unseen -= length;
    return backend.admit('read', offset, length) || backend.look(out.address + out.length, offset, length);
  }

  #readChunks(piece: number): Errno {
    const { backend, out, replies } = this.link;
    const offset = this.#position;
    const start = out.length;
    let errno = backend.admit('read', offset, piece);
    if (errno === 0) {
      const hole = -backend.extent(offset, this.#remaining);
      const length = Math.max(piece, hole);
      const isLast = length === this.#remaining;
      if (hole > piece) replies.hole(this, offset, hole, isLast);
      else errno = readRuns(backend, out, replies, this, { offset, length, isLast });
      this.#advance(length);
    }
    if (errno !== 0) out.length = start;
    return errno;
  }

  /** The header follows the first data, so that an error there can still be told. */
  #readWhole(length: number): Errno {
    const { backend, out, replies } = this.link;
    const head = this.#isBegun ? 0 : replies.dataHeaderBytes;
    const at = out.length + head;
    let errno = this.#errno || backend.admit('read', this.#position, length);
    errno ||= backend.read(out.address + at, this.#position, length);
    if (errno !== 0 && (!this.#isBegun || replies.mode === 'simple')) return errno;
    if (errno !== 0) out.bytes.fill(0, at, at + length);
    this.#errno = errno;
    if (!this.#isBegun) replies.data(this, this.#position, this.#remaining, false);
    this.#isBegun = true;
    replies.follow(length);
    this.#advance(length);
    if (this.#remaining === 0 && replies.mode !== 'simple') replies.end(this, this.#errno);
    return 0;
  }

  #advance(length: number): void {
    this.#position += length;
    this.#remaining -= length;
  }
}
