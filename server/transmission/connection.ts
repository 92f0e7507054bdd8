import { constants } from 'node:os';
import type { Backend } from '../backend.js';
import type { NegotiatedContext, ReplyMode } from '../negotiation/outcome.js';
import type { Input } from './input.js';
import type { Output, Sink } from './output.js';
import { failure, PendingOutput, Sent } from './pending.js';
import type { Pipes } from './pipes.js';
import { Session, Status, type ZeroCopy } from './session.js';
import { close, errno, MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, type Pipe, recv, send } from './sockets.js';

const { EAGAIN, EINTR } = constants.errno;

/** The reason of an end that the client asked for (DISC). */
export const DISCONNECTED = 'the client disconnected';

/** What a connection does next. */
export const Next = {
  /** Waits for the peer to send. */
  RECEIVE: 0,
  /** Has more to do at once. */
  RUN: 1,
  /** Waits for the peer to take what it was sent. */
  SEND: 2,
  /** Waits for the device to thaw. */
  THAW: 3,
  /** Is over. */
  END: 4,
  /** Is over here: between two requests, with the socket open. */
  PARTED: 5,
} as const;
export type Next = (typeof Next)[keyof typeof Next];

/** Memory that the connections of a thread use in turns. */
export interface Shared {
  readonly input: Input;
  readonly out: Output;
  readonly pipes: Pipes;
}

export interface ConnectionOptions {
  readonly id: number;
  /** A non-blocking stream socket; the connection closes it. */
  readonly fd: number;
  readonly backend: Backend;
  readonly mode: ReplyMode;
  readonly contexts: readonly NegotiatedContext[];
  readonly minimumBlock: number;
  readonly readOnly: boolean;
  /** Received already, by whoever negotiated. */
  readonly leftover: Uint8Array;
}

/** A socket in the transmission phase, on the thread that owns it. */
export class Connection implements Sink, ZeroCopy {
  readonly id: number;
  readonly fd: number;
  next: Next = Next.RUN;
  /** Why it ended. */
  reason = '';
  /** To be given up as soon as it is between two requests. */
  isParting = false;
  /** Bytes of the last receive were served: the turn was not in vain. */
  worked = false;

  readonly #shared: Shared;
  readonly #session: Session;
  readonly #pending = new PendingOutput();
  /** Received, not served. */
  #stash: Uint8Array;
  #stashed: number;
  /** The session could go on with what is stashed; else it needs more bytes first. */
  #isRunnable: boolean;
  #isGone = false;

  constructor(shared: Shared, options: ConnectionOptions) {
    this.id = options.id;
    this.fd = options.fd;
    this.#shared = shared;
    this.#session = new Session({ ...options, out: shared.out, zeroCopy: this });
    this.#stash = options.leftover;
    this.#stashed = options.leftover.length;
    this.#isRunnable = this.#stashed > 0;
  }

  /** One share of work: sends what is pending, receives, serves, sends. Sets `next`. */
  turn(): void {
    this.worked = false;
    if (!this.#pending.isEmpty && !this.#drain()) return;
    if (this.reason !== '') {
      this.next = Next.END;
      return;
    }
    const received = this.#isRunnable ? 0 : this.#receive();
    if (received < 0) return;
    this.worked = true;
    this.#serve(received);
  }

  /** True when the peer has nothing more to be told. */
  get isDrained(): boolean {
    return this.#pending.isEmpty;
  }

  /** Gives it up if it may be: everything that was begun is answered, and the peer has taken it. */
  part(): void {
    if (this.isParting && this.next === Next.RECEIVE && this.#session.owed === 0) this.next = Next.PARTED;
  }

  /** What was received and not served. */
  get leftover(): Uint8Array {
    return this.#stash.slice(0, this.#stashed);
  }

  /** Releases what it holds; the connection is not used after this. */
  close(): void {
    close(this.fd);
    const pipe = this.#pending.abandonPipe();
    if (pipe !== undefined) this.#shared.pipes.drop(pipe);
  }

  /** Receives behind what is stashed. Returns the bytes, or -1 when there are none to serve. */
  #receive(): number {
    const { input } = this.#shared;
    // One that parts receives no further than to the end of what it has begun.
    const room = (this.isParting ? this.#session.owed : input.bytes.length) - this.#stashed;
    if (room <= 0) {
      this.next = Next.RECEIVE;
      return -1;
    }
    for (;;) {
      const received = recv(this.fd, input.address + this.#stashed, room, MSG_DONTWAIT);
      if (received > 0) return received;
      if (received < 0) {
        const code = errno();
        if (code === EINTR) continue;
        if (code === EAGAIN) {
          this.next = Next.RECEIVE;
          return -1;
        }
      }
      this.#end(received === 0 ? 'the client closed the connection' : 'the connection was reset');
      return -1;
    }
  }

  #serve(received: number): void {
    const { input, out } = this.#shared;
    if (this.#stashed > 0) input.bytes.set(this.#stash.subarray(0, this.#stashed));
    const end = this.#stashed + received;
    const session = this.#session;
    out.sink = this;
    const served = session.serve(input, 0, end);
    const flushed = out.flush();
    this.#stashed = end - served;
    if (served < end) this.#keep(input.bytes.subarray(served, end));
    const { status } = session;
    this.#isRunnable = status !== Status.OPEN;
    if (status === Status.FINISHED) this.reason ||= DISCONNECTED;
    else if (status === Status.BROKEN) this.reason ||= 'the client broke the protocol';
    this.next = this.#after(status, flushed);
  }

  #after(status: Status, flushed: boolean): Next {
    if (this.#isGone) return Next.END;
    if (!flushed || !this.#pending.isEmpty) return Next.SEND;
    if (this.reason !== '') return Next.END;
    if (status === Status.PARKED) return Next.THAW;
    return status === Status.OPEN ? Next.RECEIVE : Next.RUN;
  }

  #keep(rest: Uint8Array): void {
    if (this.#stash.length < rest.length) this.#stash = new Uint8Array(Math.max(rest.length, 4096));
    this.#stash.set(rest);
  }

  /** There is no one to send to. */
  #end(reason: string): void {
    this.#isGone = true;
    this.reason ||= reason;
    this.next = Next.END;
  }

  #drain(): boolean {
    const sent = this.#pending.drain(this.fd);
    const pipe = this.#pending.releasePipe();
    if (pipe !== undefined) this.#shared.pipes.give(pipe);
    if (sent === Sent.ALL) return true;
    if (sent === Sent.GONE) this.#end('the connection was reset');
    else this.next = Next.SEND;
    return false;
  }

  /* Sink */

  flush(out: Output): boolean {
    return this.#send(out, 0);
  }

  #send(out: Output, flags: number): boolean {
    let sent = 0;
    while (sent < out.length) {
      const count = send(this.fd, out.address + sent, out.length - sent, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
      if (count > 0) sent += count;
      else if (errno() !== EINTR) {
        if (failure() === Sent.GONE) this.#end('the connection was reset');
        else this.#pending.keepBytes(out.bytes.subarray(sent, out.length));
        return false;
      }
    }
    return true;
  }

  /* ZeroCopy */

  pipe(length: number): Pipe | undefined {
    return this.#shared.pipes.take(length);
  }

  discard(pipe: Pipe): void {
    this.#shared.pipes.drop(pipe);
  }

  sendPipe(out: Output, pipe: Pipe, count: number, zeroes: number): boolean {
    const sent = this.#send(out, MSG_MORE);
    out.length = 0;
    this.#pending.keepPipe(pipe, count, zeroes);
    return sent && this.#drain();
  }
}
