import { constants } from 'node:os';
import type { Errno } from '../backend.js';
import { Way } from '../pace/read-way.js';
import { WriteWay } from '../pace/write-way.js';
import type { PayloadPipe } from '../system/payload-pipe.js';
import { CmdFlag } from '../wire/constants.js';
import type { Request } from '../wire/request.js';
import type { Input } from './input.js';
import { type Link, Status } from './link.js';
import type { Operation } from './operation.js';
import { MAX_OPERATION } from './operations.js';
import { Payload } from './payload.js';
import { PLAIN_REPLY_BYTES } from './replies.js';
import { WholeOperation } from './whole-operation.js';

const { ENOTSUP } = constants.errno;

/** A WRITE up to this many bytes is written in one piece once all of it is there; a longer one as it arrives. */
export const WHOLE_WRITE = 64 << 10;

/** In place of a position: the device is frozen. */
export const FROZEN = -1;

/** Serves WRITE: its payload is written, collected for an operation, or drained, as it arrives. */
export class Writes {
  readonly #link: Link;
  readonly #payload = new Payload();
  readonly #way = new WriteWay();

  constructor(link: Link) {
    this.#link = link;
  }

  /** A payload is arriving: `receive` has the word. */
  get isReceiving(): boolean {
    return this.#payload.active;
  }

  /** Bytes of that payload which have yet to come. */
  get remaining(): number {
    return this.#payload.remaining;
  }

  /** True when a WRITE of this length is better served whole, by `serve`, once all of it has arrived. */
  static isWhole(request: Request): boolean {
    return request.length <= WHOLE_WRITE;
  }

  /** A WRITE whose payload is all there, at `at`. */
  serve(request: Request, input: Input, at: number): Status {
    const { backend, out, replies, underWay } = this.#link;
    const { offset, length } = request;
    if (!out.room(PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    const isDeferred = backend.isDeferred();
    const fua = (request.flags & CmdFlag.FUA) !== 0;
    if ((isDeferred || fua) && underWay.isFull) return Status.BUSY;
    if (!backend.enter()) return Status.PARKED;
    const refusal = backend.admit('write', offset, length);
    if (refusal === 0 && isDeferred && this.#startWhole(request, input, at)) return Status.OPEN;
    const errno = refusal || backend.write(input.address + at, offset, length);
    if (errno === 0 && fua) return this.#makeDurable(request);
    backend.exit();
    replies.plain(request, errno);
    return Status.OPEN;
  }

  /** As `serve`, with others like it. Not for FUA, and not while the device had better start operations. */
  small(request: Request, input: Input, at: number): Status {
    const { backend, batch, replies } = this.#link;
    const { offset, length } = request;
    if (!batch.room(0)) return Status.BLOCKED;
    if (!batch.enter()) return Status.PARKED;
    const errno = backend.admit('write', offset, length);
    if (errno === 0 && batch.write(request, input.address + at)) return Status.OPEN;
    batch.leave();
    if (errno === 0) return this.serve(request, input, at);
    replies.plain(request, errno);
    return Status.OPEN;
  }

  #startWhole(request: Request, input: Input, at: number): boolean {
    const { length } = request;
    const operation = this.#link.underWay.take(request, length);
    if (operation === undefined) return false;
    operation.memory?.bytes.set(input.bytes.subarray(at, at + length));
    return this.#start(operation, (request.flags & CmdFlag.FUA) !== 0);
  }

  /** Caller is counted in, which the operation takes over. */
  #start(operation: Operation, fua: boolean): boolean {
    const { backend, underWay } = this.#link;
    const { token, memory, offset, length } = operation;
    operation.fua = fua;
    if (memory === undefined || !backend.startWrite(token, memory.address, offset, length)) {
      underWay.give(operation);
      return false;
    }
    underWay.handOver();
    return true;
  }

  /** Flushes for a write that is in the page cache, and answers. Caller is counted in; takes that over. */
  #makeDurable(request: Request | Payload): Status {
    const { backend, replies, underWay } = this.#link;
    const operation = underWay.take(request, 0);
    if (operation !== undefined) {
      if (backend.startFlush(operation.token)) return Status.OPEN;
      underWay.give(operation);
    }
    const errno = backend.flush();
    backend.exit();
    replies.plain(request, errno);
    return Status.OPEN;
  }

  /** Expects the payload of this request; with an errno it is drained, and that is the answer. */
  expect(request: Request, errno: Errno): void {
    const payload = this.#payload;
    payload.begin(request, errno);
    const { backend, underWay } = this.#link;
    if (errno === 0 && backend.isDeferred() && !underWay.isFull && request.length <= MAX_OPERATION) {
      payload.operation = underWay.take(request, request.length);
    }
  }

  /** Expects the payload of a request that is handed over whole. */
  collect(request: Request, operation: WholeOperation): void {
    this.#payload.begin(request, 0);
    this.#payload.operation = operation;
  }

  /**
   * Takes what is there of the payload, and returns how far it got, or FROZEN. Each piece is a request of its own to the
   * queue, so a peer that stops halfway holds up no freeze; pieces end on page boundaries of the device.
   */
  receive(input: Input, at: number, end: number): number {
    const payload = this.#payload;
    const piece = payload.piece(end - at);
    if (piece === 0 || payload.errno !== 0) {
      payload.advance(piece);
    } else if (payload.operation !== undefined) {
      payload.collect(input.bytes.subarray(at, at + piece));
      payload.advance(piece);
    } else {
      const { backend } = this.#link;
      if (!backend.enter()) return FROZEN;
      payload.errno =
        backend.admit('write', payload.position, piece) ||
        backend.write(input.address + at, payload.position, piece);
      backend.exit();
      payload.advance(piece);
    }
    return at + piece;
  }

  /** What is to come of a payload is worth a pipe, and may go through one. */
  get wantsPipe(): boolean {
    const payload = this.#payload;
    const isWritten = payload.active && payload.errno === 0 && payload.operation === undefined;
    if (!isWritten || payload.remaining <= WHOLE_WRITE || this.#way.next !== Way.PIPE) return false;
    return this.#link.backend.canWriteFromPipe();
  }

  /**
   * As `receive`, from a pipe that holds nothing but what is next of the payload. False: the device is frozen. What the
   * backend can't take stays in the pipe; `canWriteFromPipe` is false then.
   */
  receiveFrom(pipe: PayloadPipe): boolean {
    const payload = this.#payload;
    const piece = payload.piece(pipe.held);
    if (piece === 0) return true;
    const { backend } = this.#link;
    if (!backend.enter()) return false;
    const { position } = payload;
    const errno =
      backend.admit('write', position, piece) || backend.writeFromPipe(pipe.readEnd, position, piece);
    backend.exit();
    if (errno === ENOTSUP) return true;
    payload.errno = errno;
    payload.advance(errno === 0 ? piece : pipe.held);
    if (errno === 0) pipe.took(piece);
    else pipe.drop();
    return true;
  }

  /** Once the payload is complete: answers, or starts what was collected. */
  settle(): Status {
    const payload = this.#payload;
    const { backend, out, replies, underWay, zeroCopy } = this.#link;
    if (payload.operation instanceof WholeOperation) {
      underWay.whole?.begin(payload.operation);
      payload.end();
      return Status.OPEN;
    }
    if (!out.room(PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    if (payload.fua && underWay.isFull) return Status.BUSY;
    if (payload.errno !== 0) {
      replies.plain(payload, payload.errno);
    } else if (payload.operation !== undefined || payload.fua) {
      if (!backend.enter()) return Status.PARKED;
      this.#finishPayload(payload);
    } else {
      if (payload.length > WHOLE_WRITE && zeroCopy !== undefined)
        this.#way.went(payload.length, performance.now());
      replies.plain(payload, 0);
    }
    payload.end();
    return Status.OPEN;
  }

  /** Caller is counted in; this counts out, now or when the operation is done. */
  #finishPayload(payload: Payload): void {
    const { backend, replies } = this.#link;
    const { operation } = payload;
    if (operation === undefined) {
      this.#makeDurable(payload);
      return;
    }
    const { memory, offset, length } = operation;
    let errno = backend.admit('write', offset, length);
    if (errno !== 0) {
      this.#link.underWay.give(operation);
    } else {
      if (this.#start(operation, payload.fua)) return;
      if (memory !== undefined) errno = backend.write(memory.address, offset, length);
      if (errno === 0 && payload.fua) errno = backend.flush();
    }
    backend.exit();
    replies.plain(payload, errno);
  }

  /** The connection is over: what was collected is let go. */
  abandon(): void {
    const { operation } = this.#payload;
    if (operation !== undefined) this.#link.underWay.give(operation);
    this.#payload.end();
  }
}
