import type { ReplyMode } from '../negotiation/outcome.js';
import { ReplyFlag, ReplyType, Size } from '../wire/constants.js';
import { wireErrno } from '../wire/errno.js';
import {
  putExtendedHeader,
  putSimpleReply,
  putStructuredHeader,
  putUint64,
  type Replied,
} from '../wire/reply.js';
import { errorText } from './error-text.js';
import type { Output } from './output.js';

/** Node's table lacks it; asm-generic/errno.h. */
const ESHUTDOWN = 108;
/** Bytes that the largest reply without data takes, an error's text included. */
export const PLAIN_REPLY_BYTES = 256;

/**
 * Writes replies in the form that was negotiated. The caller has made room.
 *
 * Nothing is sent between a header and the end of its data. A header says how many bytes of data follow, and until they have
 * (`follow`, `followElsewhere`) no other is written. So a reply in pieces that are not chunks of their own waits until nothing
 * is under way, and nothing else is served before its end (`LongRead`). Whatever breaks this is a mistake of ours:
 * `Output.abort` then ends the connection, and nothing more is sent.
 */
export class Replies {
  /** Bytes in front of the data of a READ that is answered in one piece. */
  readonly dataHeaderBytes: number;
  readonly #chunkHeaderBytes: number;
  /** Requests answered so far. */
  answered = 0;
  /** Bytes of data that the last header announced and that have yet to come. */
  #owed = 0;

  constructor(
    readonly mode: ReplyMode,
    private readonly out: Output,
  ) {
    this.#chunkHeaderBytes = mode === 'extended' ? Size.EXTENDED_REPLY : Size.STRUCTURED_REPLY;
    this.dataHeaderBytes = mode === 'simple' ? Size.SIMPLE_REPLY : this.#chunkHeaderBytes + 8;
  }

  /**
   * The final reply to a request that carries no data: a Linux errno, or success, which is none for a READ. Success is
   * a simple reply with structured ones too: libnbd takes it with one call, a chunk with two.
   */
  plain(to: Replied, errno: number): void {
    if (this.mode === 'structured' ? errno === 0 : this.mode === 'simple') this.#simple(to, errno);
    else this.end(to, errno);
  }

  /** As `plain`, in the form that success has: the peer was sent its magic number. Not for READ. */
  plainAsBegun(to: Replied, errno: number): void {
    if (this.mode === 'extended') this.end(to, errno);
    else this.#simple(to, errno);
  }

  /** Data is to come before anything else may be sent. */
  get isOwing(): boolean {
    return this.#owed > 0;
  }

  /** The next `length` bytes of the data, which lie where the output ends. */
  follow(length: number): void {
    this.followElsewhere(length);
    this.out.length += length;
  }

  /** The next `length` bytes of the data go another way, behind what the output holds. */
  followElsewhere(length: number): void {
    this.#owed -= length;
    if (this.#owed < 0) this.out.abort('more data than its header announced');
  }

  /** A header is next. */
  #begin(): void {
    if (this.#owed !== 0) this.out.abort('a reply within the data of another');
    this.#owed = 0;
  }

  /**
   * A session whose device goes down ends at once. The kernel's client, which simple replies are for, makes an error of any
   * errno, and sends again what was not answered: it is not.
   */
  #simple(to: Replied, errno: number): void {
    const { out } = this;
    this.#begin();
    this.answered++;
    if (errno === ESHUTDOWN) return;
    out.length += putSimpleReply(out.view, out.length, wireErrno(errno), to);
  }

  /** The last chunk of a reply, without data: success, or a Linux errno. Not for simple replies. */
  end(to: Replied, errno: number): void {
    if (errno === 0) this.#chunk(to, ReplyFlag.DONE, ReplyType.NONE, 0);
    else this.#error(to, errno);
  }

  /**
   * Header of `length` bytes of data at `offset`, which `follow`; `last` ends the reply.
   * A simple reply has only one, and it is the last.
   */
  data(to: Replied, offset: number, length: number, last: boolean): void {
    const { out } = this;
    if (this.mode === 'simple') {
      this.#simple(to, 0);
    } else {
      this.#chunk(to, last ? ReplyFlag.DONE : 0, ReplyType.OFFSET_DATA, 8 + length);
      putUint64(out.view, out.length, offset);
      out.length += 8;
    }
    this.#owed = length;
  }

  /** `length` bytes at `offset` that read as zeroes. Not for simple replies. */
  hole(to: Replied, offset: number, length: number, last: boolean): void {
    const { out } = this;
    this.#chunk(to, last ? ReplyFlag.DONE : 0, ReplyType.OFFSET_HOLE, 12);
    putUint64(out.view, out.length, offset);
    out.view.setUint32(out.length + 8, length);
    out.length += 12;
  }

  /**
   * Header of the extents of one context; returns where they start. `count` extents of 8 bytes (16 in extended
   * replies) follow.
   */
  extents(to: Replied, context: number, count: number, last: boolean): void {
    const { out } = this;
    const flags = last ? ReplyFlag.DONE : 0;
    if (this.mode === 'extended') {
      this.#chunk(to, flags, ReplyType.BLOCK_STATUS_EXT, 8 + count * 16);
      out.view.setUint32(out.length + 4, count);
      out.view.setUint32(out.length, context);
      out.length += 8;
    } else {
      this.#chunk(to, flags, ReplyType.BLOCK_STATUS, 4 + count * 8);
      out.view.setUint32(out.length, context);
      out.length += 4;
    }
  }

  extent(length: number, flags: number): void {
    const { out } = this;
    if (this.mode === 'extended') {
      putUint64(out.view, out.length, length);
      putUint64(out.view, out.length + 8, flags);
      out.length += 16;
    } else {
      out.view.setUint32(out.length, length);
      out.view.setUint32(out.length + 4, flags);
      out.length += 8;
    }
  }

  #error(to: Replied, errno: number): void {
    const { out } = this;
    const text = errorText(errno);
    this.#chunk(to, ReplyFlag.DONE, ReplyType.ERROR, 6 + text.length);
    out.view.setUint32(out.length, wireErrno(errno));
    out.view.setUint16(out.length + 4, text.length);
    out.bytes.set(text, out.length + 6);
    out.length += 6 + text.length;
  }

  #chunk(to: Replied, flags: number, type: number, length: number): void {
    const { out } = this;
    this.#begin();
    if ((flags & ReplyFlag.DONE) !== 0) this.answered++;
    const put = this.mode === 'extended' ? putExtendedHeader : putStructuredHeader;
    out.length += put(out.view, out.length, flags, type, length, to);
  }
}
