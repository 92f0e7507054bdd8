/**
 * The transmission phase of one connection: requests in, replies out, in memory. It knows no socket, so its
 * tests use none; a reactor's connection or a TLS stream moves the bytes.
 */
import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Backend, Errno, WholeOperationName } from '../backend.js';
import type { NegotiatedContext } from '../negotiation/outcome.js';
import { Comparison } from '../pace/comparison.js';
import { AHEAD, HEAD_START } from '../pace/head-start.js';
import type { PayloadPipe } from '../system/payload-pipe.js';
import { Cmd, CmdFlag, Size } from '../wire/constants.js';
import { decodeExtendedRequest, decodeRequest, encodeRequest, Request } from '../wire/request.js';
import { ReplyBatch } from './batch.js';
import { Commands } from './commands.js';
import type { Input } from './input.js';
import { answerOperation, type Link, Status, type ZeroCopy } from './link.js';
import type { Operation, Owner } from './operation.js';
import type { Output } from './output.js';
import { Reads } from './reads.js';
import { PLAIN_REPLY_BYTES, Replies } from './replies.js';
import { RequestRules } from './request-rules.js';
import { maxStatusPayload, readStatusPayload } from './status-payload.js';
import type { SessionTerms } from './terms.js';
import { type Deferral, UnderWay } from './under-way.js';
import { wholeName } from './whole-operation.js';
import { FROZEN, Writes } from './writes.js';

const { EINVAL } = constants.errno;

/** Bytes of payload a session moves in one turn, so that connections of a thread take turns. */
export const TURN_BYTES = 1 << 20;
/** What a request without payload counts for in a turn, bytes. */
const TURN_REQUEST = 4096;
/** A refused payload longer than this is not even drained. */
const MAX_DRAIN = 0xffffffff;

/** In place of a position: `status` says what is waited for; OPEN is for more bytes. */
const WAIT = -1;

export interface SessionOptions extends SessionTerms {
  readonly backend: Backend;
  readonly out: Output;
  readonly zeroCopy: ZeroCopy | undefined;
  /** Absent where everything is done in place. */
  readonly deferral?: Deferral | undefined;
  /** Who is told when a request is done that had to wait; absent: that of `deferral`. */
  readonly owner?: Owner | undefined;
}

/** A request that is to be handed over whole: where it is in the input, and what is wrong with it. */
interface WholeInput {
  readonly body: number;
  readonly end: number;
  readonly flaw: Errno;
  readonly operation: WholeOperationName;
}

export class Session {
  status: Status = Status.OPEN;
  /** Requests, and pieces of requests, that the last call of `serve` got through. */
  steps = 0;
  /** The peer has gone through most of its replies: the first ones of a turn had better not wait for many others. */
  hasten = false;
  /** Nothing else is served by the thread. */
  isAlone = false;

  /** Bytes of a request without what follows it. */
  readonly headerBytes: number;
  readonly #link: Link;
  readonly #reads: Reads;
  readonly #writes: Writes;
  readonly #commands: Commands;
  readonly #rules: RequestRules;
  readonly #contexts: readonly NegotiatedContext[];
  readonly #extended: boolean;
  readonly #request = new Request();
  readonly #headStart = new Comparison(HEAD_START);
  #turn = 0;

  constructor(options: SessionOptions) {
    const { backend, out, mode, zeroCopy, deferral } = options;
    const underWay = new UnderWay(backend, deferral, options.owner);
    const replies = new Replies(mode, out);
    const batch = new ReplyBatch(backend, out, replies, underWay);
    this.#link = { backend, out, replies, zeroCopy, underWay, batch };
    this.#reads = new Reads(this.#link);
    this.#writes = new Writes(this.#link);
    this.#commands = new Commands(this.#link, options.minimumBlock);
    this.#rules = new RequestRules(options);
    this.#contexts = options.contexts;
    this.#extended = mode === 'extended';
    this.headerBytes = this.#extended ? Size.EXTENDED_REQUEST : Size.REQUEST;
  }

  /** Operations that were started and not answered. */
  get underWay(): number {
    return this.#link.underWay.count;
  }

  /** Answers an operation that is done. False when the peer must first take what it was sent. */
  answer(operation: Operation): boolean {
    const data = operation.isRead ? operation.length : 0;
    if (!this.#link.out.room(2 * PLAIN_REPLY_BYTES + data)) return false;
    answerOperation(this.#link, operation);
    return true;
  }

  /** The connection is over: an operation that is done has no one to be told. */
  discard(operation: Operation): void {
    this.#link.underWay.give(operation);
  }

  /**
   * An operation that changes a range, between two pieces, as a request for what is left of it: whoever goes on with the
   * connection carries that out. (An extended reply tells the offset, so there it is all of the range.) It is given back.
   */
  passOn(operation: Operation): Buffer {
    const { change } = operation;
    const { type, flags } = change;
    const { cookieHigh, cookieLow, offset, length } = operation;
    const range = this.#extended ? { offset, length } : { offset: change.position, length: change.remaining };
    this.discard(operation);
    return encodeRequest(
      { type, flags, cookieHigh, cookieLow, ...range },
      this.#extended ? 'extended' : 'compact',
    );
  }

  /** The connection is over: nothing more is served, and what may never end is dropped. */
  abandon(): void {
    this.#writes.abandon();
    this.#link.underWay.whole?.dropHeld();
  }

  /** Nobody is there to be answered: what waits is not carried out. */
  dropWaiting(): void {
    this.#link.underWay.whole?.dropAll();
  }

  /** When a request that waits may go on, milliseconds of `performance.now()`; Infinity: not before a wake, or there is none. */
  get due(): number {
    return this.#link.underWay.whole?.due ?? Number.POSITIVE_INFINITY;
  }

  /** All that is under way waits for the device to let go of it. */
  get isHeld(): boolean {
    const { underWay } = this.#link;
    return underWay.count > 0 && underWay.whole?.held === underWay.count;
  }

  /** Goes on with what is due. Outside of `serve`. */
  resume(now: number): void {
    this.#link.underWay.whole?.resume(now);
  }

  /** The device may have thawed, or have let go of what it held. */
  wake(): void {
    this.#link.underWay.whole?.wake();
  }

  /** Bytes of a payload that is arriving which are still to come; 0 between requests. */
  get owed(): number {
    return this.#writes.isReceiving ? this.#writes.remaining : 0;
  }

  /**
   * Serves what it can of `input` from `at` to `end`, and returns how far it got; the caller keeps the rest and
   * presents it again, with more behind it. `status` says what it waits for.
   */
  serve(input: Input, at: number, end: number): number {
    const { batch, replies } = this.#link;
    const began = performance.now();
    const before = replies.answered;
    batch.begin(this.hasten);
    const position = this.#serve(input, at, end);
    if (this.#isLone && this.#headStart.side === AHEAD) batch.announce();
    batch.settle();
    this.#expectWhole();
    const now = performance.now();
    this.#observe(before, began, now);
    if (this.isAlone) this.#headStart.went(this.steps, now);
    return position;
  }

  /** Only a long READ may leave data for later. */
  #expectWhole(): void {
    const { out, replies } = this.#link;
    if (replies.isOwing && !this.#reads.isLong) out.abort('less data than its header announced');
  }

  /** One small request is all that was received, and all that the client has in flight. */
  get #isLone(): boolean {
    const { batch, underWay } = this.#link;
    return this.isAlone && this.steps === 1 && batch.isLone && underWay.count === 0;
  }

  /** A long payload is arriving, and had better come through a pipe: `servePiped`. */
  get wantsPipe(): boolean {
    return this.#writes.wantsPipe;
  }

  /** As `serve`, of a payload that is arriving, and of which the pipe holds what is next. */
  servePiped(pipe: PayloadPipe): void {
    const before = this.#link.replies.answered;
    const began = performance.now();
    this.steps = 1;
    this.status = Status.OPEN;
    if (!this.#writes.receiveFrom(pipe)) this.status = Status.PARKED;
    else if (this.#writes.remaining === 0) this.status = this.#writes.settle();
    this.#observe(before, began, performance.now());
  }

  /** Counts the requests that were answered between two times, when `before` of them were already. */
  #observe(before: number, began: number, now: number): void {
    const { backend, replies } = this.#link;
    const answered = replies.answered - before;
    if (answered > 0) backend.observe(answered, (now - began) * 1000);
  }

  #serve(input: Input, at: number, end: number): number {
    this.status = Status.OPEN;
    this.#turn = TURN_BYTES;
    this.steps = 0;
    for (;;) {
      const next = this.#step(input, at, end);
      if (next === WAIT) return at;
      this.steps++;
      at = next;
      if (this.status !== Status.OPEN) return at;
      if (this.#turn <= 0) {
        this.status = Status.YIELD;
        return at;
      }
    }
  }

  /** One request, or one piece of what was begun. */
  #step(input: Input, at: number, end: number): number {
    const { isReceiving } = this.#writes;
    const { isLong } = this.#reads;
    if (!isReceiving && !isLong && !this.#commands.isChanging) return this.#serveRequest(input, at, end);
    this.#link.batch.settle();
    if (isReceiving) return this.#receive(input, at, end);
    if (isLong) return this.#readOn(at);
    const status = this.#commands.continueChange();
    if (this.#commands.isChanging) this.#turn = 0;
    return this.#served(status, at);
  }

  /** One piece a turn: what it takes is a turn's worth of bytes. */
  #readOn(at: number): number {
    const status = this.#reads.continueLong();
    if (this.#reads.isLong) this.#turn = 0;
    return this.#served(status, at);
  }

  #wait(status: Status): typeof WAIT {
    this.status = status;
    return WAIT;
  }

  #serveRequest(input: Input, at: number, end: number): number {
    const body = at + this.headerBytes;
    if (body > end) return WAIT;
    const request = this.#request;
    const decode = this.#extended ? decodeExtendedRequest : decodeRequest;
    if (!decode(input.view, at, request)) return this.#wait(Status.BROKEN);
    if (request.type === Cmd.DISC) return this.#disconnect(body);
    if (request.type === Cmd.BLOCK_STATUS && this.#hasPayload) return this.#narrowedStatus(input, body, end);
    const flaw = this.#rules.flaw(request);
    const whole = this.#isWhole ? wholeName(request.type) : undefined;
    if (whole !== undefined) return this.#whole(input, { body, end, flaw, operation: whole });
    if (request.type === Cmd.WRITE) return this.#write(input, body, end, flaw);
    if (flaw !== 0) return this.#refuse(body, flaw);
    this.#turn -= TURN_REQUEST;
    if (request.type === Cmd.READ) return this.#read(body);
    this.#link.batch.settle();
    const status = this.#commands.serve(request, this.#contexts);
    if (this.#commands.isChanging) this.#turn = 0;
    return this.#served(status, body);
  }

  #read(body: number): number {
    const request = this.#request;
    this.#turn -= Math.min(request.length, TURN_BYTES - TURN_REQUEST);
    if (Reads.isSmall(request) && !this.#link.backend.isDeferred()) {
      return this.#served(this.#reads.small(request), body);
    }
    this.#link.batch.settle();
    return this.#served(this.#reads.serve(request), body);
  }

  /** The position behind a request that was served, or WAIT. */
  #served(status: Status, behind: number): number {
    return status === Status.OPEN ? behind : this.#wait(status);
  }

  get #hasPayload(): boolean {
    return this.#extended && (this.#request.flags & CmdFlag.PAYLOAD_LEN) !== 0;
  }

  /** A BLOCK_STATUS whose payload says how long the range is, and of which contexts to tell. */
  #narrowedStatus(input: Input, body: number, end: number): number {
    const request = this.#request;
    const behind = body + request.length;
    if (request.length > maxStatusPayload(this.#contexts)) return this.#refuse(body, EINVAL);
    if (behind > end) return WAIT;
    const contexts = readStatusPayload(input.view, body, request, this.#contexts);
    const flaw = contexts === undefined ? EINVAL : this.#rules.flaw(request);
    if (contexts === undefined || flaw !== 0) return this.#answer(flaw, behind);
    this.#turn -= TURN_REQUEST;
    this.#link.batch.settle();
    return this.#served(this.#commands.serve(request, contexts), behind);
  }

  /** Answers with an error; a request that claims a payload but may not have one loses that first. */
  #refuse(body: number, errno: Errno): number {
    return this.#hasPayload ? this.#expect(body, errno) : this.#answer(errno, body);
  }

  /** Answers with an error, and goes on behind the request. */
  #answer(errno: Errno, behind: number): number {
    const { batch, out, replies } = this.#link;
    batch.settle();
    if (!out.room(PLAIN_REPLY_BYTES)) return this.#wait(Status.BLOCKED);
    replies.plain(this.#request, errno);
    this.#turn -= TURN_REQUEST;
    return behind;
  }

  /** The device wants its requests whole. */
  get #isWhole(): boolean {
    const { backend, underWay } = this.#link;
    return backend.wantsWhole?.() === true && underWay.whole !== undefined;
  }

  /** Hands a request over whole, once all of it is there. */
  #whole(input: Input, { body, end, flaw, operation: name }: WholeInput): number {
    const request = this.#request;
    const { backend, batch, underWay } = this.#link;
    const isWrite = name === 'write';
    if (flaw !== 0) return isWrite ? this.#expect(body, flaw) : this.#refuse(body, flaw);
    batch.settle();
    const behind = isWrite ? body + request.length : body;
    if (behind > end && Writes.isWhole(request)) return WAIT;
    if (!backend.enter()) return this.#wait(Status.PARKED);
    const errno =
      underWay.whole?.admit({ operation: name, offset: request.offset, length: request.length }) ?? 0;
    backend.exit();
    if (errno !== 0) return isWrite ? this.#expect(body, errno) : this.#answer(errno, behind);
    const operation = underWay.whole?.take(request);
    if (operation === undefined) return this.#wait(Status.BUSY);
    this.#turn -= TURN_REQUEST;
    if (behind > end) {
      this.#writes.collect(request, operation);
      return body;
    }
    if (isWrite) operation.bytes.set(input.bytes.subarray(body, behind));
    this.#turn -= operation.bytes.length;
    underWay.whole?.begin(operation);
    return behind;
  }

  #disconnect(body: number): number {
    this.#link.batch.settle();
    this.#link.underWay.whole?.dropHeld();
    const status = this.#rules.hasChanged ? this.#commands.disconnect(this.#request) : Status.FINISHED;
    if (status !== Status.FINISHED) return this.#wait(status);
    this.status = status;
    return body;
  }

  #write(input: Input, body: number, end: number, flaw: Errno): number {
    const request = this.#request;
    const behind = body + request.length;
    if (flaw !== 0) return this.#expect(body, flaw);
    if (behind > end) return Writes.isWhole(request) ? WAIT : this.#beginSlices(body);
    this.#turn -= request.length + TURN_REQUEST;
    if ((request.flags & CmdFlag.FUA) === 0 && !this.#link.backend.isDeferred()) {
      return this.#served(this.#writes.small(request, input, body), behind);
    }
    this.#link.batch.settle();
    return this.#served(this.#writes.serve(request, input, body), behind);
  }

  /** The whole range is admitted before the first piece is written: a range that is refused leaves no trace. */
  #beginSlices(body: number): number {
    const { offset, length } = this.#request;
    const { backend, batch } = this.#link;
    batch.settle();
    if (!backend.enter()) return this.#wait(Status.PARKED);
    const errno = backend.admit('write', offset, length);
    backend.exit();
    return this.#expect(body, errno);
  }

  #expect(body: number, errno: Errno): number {
    if (this.#request.length > MAX_DRAIN) return this.#wait(Status.BROKEN);
    this.#writes.expect(this.#request, errno);
    return body;
  }

  #receive(input: Input, at: number, end: number): number {
    const writes = this.#writes;
    const next = writes.receive(input, at, end);
    if (next === FROZEN) return this.#wait(Status.PARKED);
    this.#turn -= next - at;
    if (writes.remaining > 0) return next === at ? WAIT : next;
    this.status = writes.settle();
    this.#turn -= TURN_REQUEST;
    return next;
  }
}
