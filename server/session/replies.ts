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

/** Bytes that the largest reply without data takes, an error's text included. */
export const PLAIN_REPLY_BYTES = 256;

/** Writes replies in the form that was negotiated. The caller has made room. */
export class Replies {
  /** Bytes in front of the data of a READ that is answered in one piece. */
  readonly dataHeaderBytes: number;
  readonly #chunkHeaderBytes: number;
  /** Requests answered so far. */
  answered = 0;

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

  #simple(to: Replied, errno: number): void {
    const { out } = this;
    this.answered++;
    out.length += putSimpleReply(out.view, out.length, wireErrno(errno), to);
  }

  /** The last chunk of a reply, without data: success, or a Linux errno. Not for simple replies. */
  end(to: Replied, errno: number): void {
    if (errno === 0) this.#chunk(to, ReplyFlag.DONE, ReplyType.NONE, 0);
    else this.#error(to, errno);
  }

  /**
   * Header of `length` bytes of data at `offset`, which the caller puts behind it; `last` ends the reply.
   * A simple reply has only one, and it is the last.
   */
  data(to: Replied, offset: number, length: number, last: boolean): void {
    const { out } = this;
    if (this.mode === 'simple') {
      this.answered++;
      out.length += putSimpleReply(out.view, out.length, 0, to);
      return;
    }
    this.#chunk(to, last ? ReplyFlag.DONE : 0, ReplyType.OFFSET_DATA, 8 + length);
    putUint64(out.view, out.length, offset);
    out.length += 8;
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
    if ((flags & ReplyFlag.DONE) !== 0) this.answered++;
    const put = this.mode === 'extended' ? putExtendedHeader : putStructuredHeader;
    out.length += put(out.view, out.length, flags, type, length, to);
  }
}
