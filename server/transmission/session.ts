/**
 * The transmission phase of one connection: requests in, replies out, in memory. It knows no socket, so its
 * tests use none; a reactor's connection or a TLS stream moves the bytes.
 */
import { constants } from 'node:os';
import type { Backend, Errno } from '../backend.js';
import type { NegotiatedContext, ReplyMode } from '../negotiation/outcome.js';
import { Cmd, CmdFlag, Size } from '../wire/constants.js';
import { decodeExtendedRequest, decodeRequest, Request } from '../wire/request.js';
import { BLOCK_STATUS_BYTES, blockStatus } from './block-status.js';
import { validFlags } from './command-flags.js';
import type { Input } from './input.js';
import type { Output } from './output.js';
import { Payload } from './payload.js';
import { RangeChange } from './range-change.js';
import { PLAIN_REPLY_BYTES, Replies } from './replies.js';
import type { Pipe } from './sockets.js';
import { MAX_RUN_HEADERS, readRuns } from './sparse-read.js';

const { EINVAL, ENOTSUP, EPERM } = constants.errno;

/** Bytes of payload a READ or WRITE may carry: 32 MiB. */
export const MAX_PAYLOAD = 32 << 20;
/** A WRITE up to this many bytes is written in one piece once all of it is there; a longer one as it arrives. */
export const WHOLE_WRITE = 64 << 10;
/** READs from this many bytes go from the page cache to the socket without a copy, where that is possible. */
export const ZERO_COPY_READ = 64 << 10;
/** Bytes of payload a session moves in one turn, so that connections of a thread take turns. */
const TURN_BYTES = 1 << 20;
/** What a request without payload counts for in a turn, bytes. */
const TURN_REQUEST = 4096;
/** A refused payload longer than this is not even drained. */
const MAX_DRAIN = 0xffffffff;

/** Why `serve` returned. */
export const Status = {
  /** It needs more bytes. */
  OPEN: 0,
  /** It had its turn; there may be more to do at once. */
  YIELD: 1,
  /** The device is frozen. */
  PARKED: 2,
  /** The peer must first take what it was sent. */
  BLOCKED: 3,
  /** DISC: everything before it is answered. */
  FINISHED: 4,
  /** The peer broke the protocol. */
  BROKEN: 5,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** What a connection offers for replies that go from page cache to socket. */
export interface ZeroCopy {
  /** An empty pipe that holds `length` bytes from any position of a file. */
  pipe(length: number): Pipe | undefined;
  /** Sends what is in `out`, then `count` bytes of the pipe, then zeroes. False when the peer did not take all. */
  sendPipe(out: Output, pipe: Pipe, count: number, zeroes: number): boolean;
  /** Takes the pipe back, whatever it holds. */
  discard(pipe: Pipe): void;
}

export interface SessionOptions {
  readonly backend: Backend;
  readonly out: Output;
  readonly mode: ReplyMode;
  readonly contexts: readonly NegotiatedContext[];
  /** Bytes every offset and length must be a multiple of; 1 where the client was not told. */
  readonly minimumBlock: number;
  readonly readOnly: boolean;
  readonly zeroCopy: ZeroCopy | undefined;
}

/** Returned by a handler in place of a position: the request stays where it is, for a later turn. */
const WAIT = -1;

/** In place of bytes moved: the device is frozen. No errno is that large. */
const FROZEN = -65536;

export class Session {
  status: Status = Status.OPEN;

  readonly #backend: Backend;
  readonly #out: Output;
  readonly #replies: Replies;
  readonly #zeroCopy: ZeroCopy | undefined;
  readonly #contexts: readonly NegotiatedContext[];
  readonly #alignmentMask: number;
  readonly #readOnly: boolean;
  readonly #extended: boolean;
  readonly #headerBytes: number;
  readonly #flags: readonly (number | undefined)[];
  readonly #request = new Request();
  readonly #payload = new Payload();
  readonly #change = new RangeChange();
  #turn = 0;

  constructor(options: SessionOptions) {
    this.#backend = options.backend;
    this.#out = options.out;
    this.#replies = new Replies(options.mode, options.out);
    this.#zeroCopy = options.zeroCopy;
    this.#contexts = options.contexts;
    this.#alignmentMask = options.minimumBlock - 1;
    this.#readOnly = options.readOnly;
    this.#extended = options.mode === 'extended';
    this.#headerBytes = this.#extended ? Size.EXTENDED_REQUEST : Size.REQUEST;
    this.#flags = validFlags(options.mode);
  }

  /** Bytes of a payload that is arriving which are still to come; 0 between requests. */
  get owed(): number {
    return this.#payload.active ? this.#payload.remaining : 0;
  }

  /**
   * Serves what it can of `input` from `at` to `end`, and returns how far it got; the caller keeps the rest and
   * presents it again, with more behind it. `status` says what it waits for.
   */
  serve(input: Input, at: number, end: number): number {
    this.status = Status.OPEN;
    this.#turn = TURN_BYTES;
    for (;;) {
      if (this.#payload.active) {
        at = this.#receivePayload(input, at, end);
        if (this.#payload.active) return at;
      } else if (this.#change.active) {
        this.#continueChange();
      } else {
        if (end - at < this.#headerBytes) return at;
        const next = this.#serveRequest(input, at, end);
        if (next === WAIT) return at;
        at = next;
      }
      if (this.status !== Status.OPEN) return at;
      if (this.#turn <= 0) {
        this.status = Status.YIELD;
        return at;
      }
    }
  }

  #serveRequest(input: Input, at: number, end: number): number {
    const request = this.#request;
    const decode = this.#extended ? decodeExtendedRequest : decodeRequest;
    if (!decode(input.view, at, request)) return this.#wait(Status.BROKEN);
    const body = at + this.#headerBytes;
    switch (request.type) {
      case Cmd.READ:
        return this.#read(body);
      case Cmd.WRITE:
        return this.#write(input, body, end);
      case Cmd.DISC:
        return this.#disconnect(body);
      default:
        return this.#command(body);
    }
  }

  #wait(status: Status): number {
    this.status = status;
    return WAIT;
  }

  /** What is wrong with the request itself, whatever the device's state. */
  #flaw(request: Request): Errno {
    const { type, flags, length } = request;
    const valid = this.#flags[type];
    if (valid === undefined || (flags & ~valid) !== 0) return EINVAL;
    if (type === Cmd.FLUSH) return request.offset === 0 && length === 0 ? 0 : EINVAL;
    if (length === 0 || ((request.offsetLow | length) & this.#alignmentMask) !== 0) return EINVAL;
    if (length > MAX_PAYLOAD && (type === Cmd.READ || type === Cmd.WRITE)) return EINVAL;
    const modifies = type === Cmd.WRITE || type === Cmd.TRIM || type === Cmd.WRITE_ZEROES;
    return modifies && this.#readOnly ? EPERM : 0;
  }

  /** Answers without data, in place. */
  #answer(body: number, errno: Errno): number {
    if (!this.#out.room(PLAIN_REPLY_BYTES)) return this.#wait(Status.BLOCKED);
    this.#replies.plain(this.#request, errno);
    this.#turn -= TURN_REQUEST;
    return body;
  }

  /* READ */

  #read(body: number): number {
    const request = this.#request;
    const flaw = this.#flaw(request);
    if (flaw !== 0) return this.#refuse(body, flaw);
    this.#turn -= request.length + TURN_REQUEST;
    if (request.length < ZERO_COPY_READ) return this.#readCopied(body);
    if (this.#replies.mode !== 'simple' && (request.flags & CmdFlag.DF) === 0) return this.#readSparse(body);
    return this.#readZeroCopy(body);
  }

  /** As `#answer`; a request that claims a payload but may not have one loses that first. */
  #refuse(body: number, errno: Errno): number {
    const request = this.#request;
    const hasPayload = this.#extended && (request.flags & CmdFlag.PAYLOAD_LEN) !== 0;
    if (!hasPayload) return this.#answer(body, errno);
    return this.#expectPayload(body, errno);
  }

  #readCopied(body: number): number {
    const request = this.#request;
    const out = this.#out;
    const head = this.#replies.dataHeaderBytes;
    if (!out.room(head + request.length + PLAIN_REPLY_BYTES)) return this.#wait(Status.BLOCKED);
    const backend = this.#backend;
    if (!backend.enter()) return this.#wait(Status.PARKED);
    let errno = backend.admit('read', request.offset, request.length);
    if (errno === 0) {
      errno = backend.read(out.address + out.length + head, request.offset, request.length);
    }
    backend.exit();
    if (errno !== 0) {
      this.#replies.plain(request, errno);
    } else {
      this.#replies.data(request, request.offset, request.length, true);
      out.length += request.length;
    }
    return body;
  }

  /** The data is in the pipe before the header is written, so an error can still be told. */
  #readZeroCopy(body: number): number {
    const request = this.#request;
    if (!this.#out.room(PLAIN_REPLY_BYTES)) return this.#wait(Status.BLOCKED);
    const zeroCopy = this.#zeroCopy;
    const pipe = zeroCopy?.pipe(request.length);
    if (zeroCopy === undefined || pipe === undefined) return this.#readCopied(body);
    const moved = this.#fillPipe(pipe);
    if (moved < 0) {
      zeroCopy.discard(pipe);
      if (moved === FROZEN) return this.#wait(Status.PARKED);
      if (moved === -ENOTSUP) return this.#readCopied(body);
      this.#replies.plain(request, -moved);
      return body;
    }
    this.#replies.data(request, request.offset, request.length, true);
    if (!zeroCopy.sendPipe(this.#out, pipe, moved, request.length - moved)) this.status = Status.BLOCKED;
    return body;
  }

  /** Bytes moved into the pipe, a negative errno, or FROZEN. */
  #fillPipe(pipe: Pipe): number {
    const { offset, length } = this.#request;
    const backend = this.#backend;
    if (!backend.enter()) return FROZEN;
    const errno = backend.admit('read', offset, length);
    const moved = errno !== 0 ? -errno : backend.fillPipe(pipe.writeEnd, offset, length);
    backend.exit();
    return moved;
  }

  /** Holes are named, not sent. */
  #readSparse(body: number): number {
    const request = this.#request;
    const { offset, length } = request;
    const backend = this.#backend;
    if (!backend.enter()) return this.#wait(Status.PARKED);
    const isWhole = backend.admit('read', offset, length) !== 0 || backend.isData(offset, length);
    backend.exit();
    if (isWhole) return this.#readZeroCopy(body);
    const most = length + MAX_RUN_HEADERS * (this.#replies.dataHeaderBytes + 4);
    if (!this.#out.room(most + PLAIN_REPLY_BYTES)) return this.#wait(Status.BLOCKED);
    if (!backend.enter()) return this.#wait(Status.PARKED);
    const start = this.#out.length;
    const errno =
      backend.admit('read', offset, length) || readRuns(backend, this.#out, this.#replies, request);
    backend.exit();
    if (errno !== 0) {
      this.#out.length = start;
      this.#replies.plain(request, errno);
    }
    return body;
  }

  /* WRITE */

  #write(input: Input, body: number, end: number): number {
    const request = this.#request;
    const { length } = request;
    const flaw = this.#flaw(request);
    if (flaw !== 0) return this.#expectPayload(body, flaw);
    if (body + length > end) {
      return length <= WHOLE_WRITE ? WAIT : this.#beginSlices(body);
    }
    const backend = this.#backend;
    if (!this.#out.room(PLAIN_REPLY_BYTES)) return this.#wait(Status.BLOCKED);
    if (!backend.enter()) return this.#wait(Status.PARKED);
    let errno = backend.admit('write', request.offset, length);
    if (errno === 0) errno = backend.write(input.address + body, request.offset, length);
    if (errno === 0 && (request.flags & CmdFlag.FUA) !== 0) errno = backend.flush();
    backend.exit();
    this.#replies.plain(request, errno);
    this.#turn -= length + TURN_REQUEST;
    return body + length;
  }

  /** The whole range is admitted before the first piece is written: a range that is refused leaves no trace. */
  #beginSlices(body: number): number {
    const { offset, length } = this.#request;
    const backend = this.#backend;
    if (!backend.enter()) return this.#wait(Status.PARKED);
    const errno = backend.admit('write', offset, length);
    backend.exit();
    return this.#expectPayload(body, errno);
  }

  /** From here on `#receivePayload` has the word; with an errno the payload is drained. */
  #expectPayload(body: number, errno: Errno): number {
    const request = this.#request;
    if (request.length > MAX_DRAIN) return this.#wait(Status.BROKEN);
    this.#payload.begin(request, errno);
    return body;
  }

  /**
   * Writes a payload as it arrives. Each piece is a request of its own to the queue, so a peer that stops
   * halfway holds up no freeze; pieces end on page boundaries of the device.
   */
  #receivePayload(input: Input, at: number, end: number): number {
    const payload = this.#payload;
    const piece = payload.piece(end - at);
    if (piece > 0 && payload.errno === 0) {
      const backend = this.#backend;
      if (!backend.enter()) {
        this.status = Status.PARKED;
        return at;
      }
      payload.errno =
        backend.admit('write', payload.position, piece) ||
        backend.write(input.address + at, payload.position, piece);
      backend.exit();
    }
    payload.advance(piece);
    this.#turn -= piece;
    if (payload.remaining === 0) this.#endPayload();
    else if (this.#turn <= 0) this.status = Status.YIELD;
    return at + piece;
  }

  #endPayload(): void {
    const payload = this.#payload;
    if (!this.#out.room(PLAIN_REPLY_BYTES)) {
      this.status = Status.BLOCKED;
      return;
    }
    if (payload.errno === 0 && payload.fua) {
      if (!this.#backend.enter()) {
        this.status = Status.PARKED;
        return;
      }
      payload.errno = this.#backend.flush();
      this.#backend.exit();
    }
    this.#replies.plain(payload, payload.errno);
    this.#turn -= TURN_REQUEST;
    payload.active = false;
  }

  /* FLUSH, TRIM, WRITE_ZEROES, CACHE, BLOCK_STATUS */

  #command(body: number): number {
    const request = this.#request;
    const flaw = this.#flaw(request);
    if (flaw !== 0) return this.#refuse(body, flaw);
    if (!this.#out.room(BLOCK_STATUS_BYTES)) return this.#wait(Status.BLOCKED);
    const backend = this.#backend;
    if (!backend.enter()) return this.#wait(Status.PARKED);
    switch (request.type) {
      case Cmd.FLUSH:
        this.#replies.plain(request, backend.flush());
        break;
      case Cmd.CACHE:
        this.#cache();
        break;
      case Cmd.BLOCK_STATUS:
        this.#blockStatus();
        break;
      default:
        this.#change.begin(request, backend);
        this.#stepChange();
    }
    backend.exit();
    this.#turn -= TURN_REQUEST;
    return body;
  }

  /** Caller has entered the backend, and made room for a reply. */
  #stepChange(): void {
    const change = this.#change;
    if (change.active) change.step(this.#backend);
    if (change.active) this.#turn -= TURN_BYTES;
    else this.#replies.plain(change, change.errno);
  }

  #continueChange(): void {
    if (!this.#out.room(PLAIN_REPLY_BYTES)) {
      this.status = Status.BLOCKED;
    } else if (!this.#backend.enter()) {
      this.status = Status.PARKED;
    } else {
      this.#stepChange();
      this.#backend.exit();
    }
  }

  #cache(): void {
    const request = this.#request;
    const { offset, length } = request;
    const refusal = this.#backend.admit('read', offset, length);
    this.#replies.plain(request, refusal || this.#backend.cache(offset, length));
  }

  #blockStatus(): void {
    const request = this.#request;
    const errno =
      this.#contexts.length === 0 ? EINVAL : this.#backend.admit('read', request.offset, request.length);
    if (errno !== 0) this.#replies.plain(request, errno);
    else blockStatus(this.#backend, this.#replies, request, this.#contexts, this.#alignmentMask + 1);
  }

  /** A client that leaves properly finds its data durable: no FLUSH need come before DISC. */
  #disconnect(body: number): number {
    if (!this.#readOnly) {
      if (!this.#backend.enter()) return this.#wait(Status.PARKED);
      this.#backend.flush();
      this.#backend.exit();
    }
    this.status = Status.FINISHED;
    return body;
  }
}
