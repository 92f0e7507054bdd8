import type { Backend } from '../backend.js';
import { Gathering } from '../pace/gathering.js';
import { endingOf, faultReason, Status } from '../session/link.js';
import type { Operation, Owner } from '../session/operation.js';
import { Session, TURN_BYTES } from '../session/session.js';
import type { SessionTerms } from '../session/terms.js';
import { close, POLLIN } from '../system/sockets.js';
import { Incoming, Received } from './incoming.js';
import { Next } from './next.js';
import { Outgoing } from './outgoing.js';
import type { Shared } from './shared.js';
import { TlsTransport } from './tls-transport.js';
import { PlainTransport, type Transport } from './transport.js';

/** Bytes received for a request beyond which it is the copying that takes the time. */
const SMALL_REQUEST = 16 << 10;

export interface ConnectionOptions extends SessionTerms {
  readonly id: number;
  /** A non-blocking stream socket; the connection closes it. */
  readonly fd: number;
  /** Address of the TLS connection on it, which the connection frees; absent: bytes go as they are. */
  readonly tls?: number | undefined;
  readonly device: number;
  /** What the connections of a device on a thread share. */
  readonly backend: Backend;
  /** Received already, by whoever negotiated. */
  readonly leftover: Uint8Array;
}

/** A socket in the transmission phase, on the thread that owns it. */
export class Connection implements Owner {
  readonly id: number;
  readonly fd: number;
  readonly device: number;
  readonly backend: Backend;
  readonly #transport: Transport;
  next: Next = Next.RUN;
  /** Why it ended. */
  reason = '';
  /** To be given up as soon as it is between two requests. */
  isParting = false;

  readonly #shared: Shared;
  readonly #session: Session;
  readonly #incoming: Incoming;
  readonly #outgoing: Outgoing;
  /** The last payload came through a pipe: the next request is received without what follows it. */
  #isPiping = false;
  /** Requests that whoever goes on carries out. */
  readonly #passedOn: Buffer[] = [];
  /** Operations that are done, to be answered. */
  readonly #done: Operation[] = [];
  /** The session could go on with what is stashed; else it needs more bytes first. */
  #isRunnable: boolean;
  readonly gathering = new Gathering();
  /** In a row, without anything to do. */
  idleTurns = 0;

  constructor(shared: Shared, options: ConnectionOptions) {
    this.id = options.id;
    this.fd = options.fd;
    this.device = options.device;
    this.backend = options.backend;
    this.#shared = shared;
    const { fd, tls } = options;
    const transport = tls === undefined ? new PlainTransport(fd) : new TlsTransport(fd, tls);
    this.#transport = transport;
    this.#incoming = new Incoming(transport, shared, options.leftover);
    this.#outgoing = new Outgoing(transport, shared, (reason) => this.#end(reason));
    const deferral = shared.operations && { operations: shared.operations, owner: this };
    const zeroCopy = transport.isPlain ? this.#outgoing : undefined;
    this.#session = new Session({ ...options, out: shared.out, zeroCopy, deferral, owner: this });
    this.#isRunnable = options.leftover.length > 0;
  }

  /**
   * One share of work: sends what is pending, answers what is done, receives, serves, sends. Sets `next`. True when
   * there was something to receive.
   */
  turn(): boolean {
    const { out } = this.#shared;
    if (!this.#outgoing.isTaken && !this.#outgoing.drain()) {
      this.next = this.#after(Status.BLOCKED);
      return false;
    }
    const before = this.#incoming.times;
    out.begin(this.#outgoing);
    if (this.#session.due !== Number.POSITIVE_INFINITY) this.#session.resume(performance.now());
    let status = this.#answerDone() ? this.#advance() : Status.BLOCKED;
    if (!this.#answerDone()) status = Status.BLOCKED;
    out.flush();
    if (out.fault !== '') this.#end(faultReason(out.fault));
    this.next = this.#after(status);
    return this.#incoming.times !== before;
  }

  /** What the session waits for after as much as it could do: with long payloads, a turn's worth of bytes. */
  #advance(): Status {
    const incoming = this.#incoming;
    this.#session.steps = 0;
    if (this.reason !== '') return Status.FINISHED;
    for (let left = TURN_BYTES; ; left -= incoming.bytes) {
      const before = incoming.times;
      const status = incoming.pipe.isOpen ? this.#servePiped() : this.#serve();
      const maySoonHaveMore = this.#isPiping && incoming.times !== before && incoming.bytes < left;
      if (status !== Status.OPEN || !maySoonHaveMore) return status;
      if (!this.#shared.out.flush()) return Status.BLOCKED;
    }
  }

  /** Receives into memory, unless there is more to do with what is there; serves it. */
  #serve(): Status {
    const { input } = this.#shared;
    const incoming = this.#incoming;
    const session = this.#session;
    if (!this.#isRunnable && !this.#has(incoming.receive(this.#most))) return Status.OPEN;
    session.hasten = this.gathering.isOn;
    incoming.keepFrom(session.serve(input, 0, incoming.present()));
    const { status } = session;
    this.#isRunnable = status !== Status.OPEN;
    if (status === Status.OPEN) this.#isPiping = session.wantsPipe && incoming.openPipe();
    else this.reason ||= endingOf(status) ?? '';
    return status;
  }

  /** As `#serve`, of a long payload. */
  #servePiped(): Status {
    const session = this.#session;
    const incoming = this.#incoming;
    const { pipe } = incoming;
    if (!this.#isRunnable && !this.#has(incoming.receivePiped(session.owed))) {
      if (pipe.isFull) incoming.spillPipe();
      return Status.OPEN;
    }
    session.servePiped(pipe);
    if (session.owed === 0) pipe.close();
    const mustSpill = pipe.isOpen && !this.backend.canWriteFromPipe();
    if (mustSpill) incoming.spillPipe();
    this.#isRunnable = mustSpill || session.status !== Status.OPEN;
    return mustSpill ? Status.YIELD : session.status;
  }

  /** Bytes to have in memory at most; undefined: as much as there is room for. */
  get #most(): number | undefined {
    const { owed, headerBytes } = this.#session;
    // One that parts receives no further than to the end of what it has begun.
    if (this.isParting) return owed;
    return this.#isPiping && owed === 0 ? headerBytes : undefined;
  }

  /** True when something was received. */
  #has(received: Received): boolean {
    // A client that has closed its side, maybe no more than that, is owed the replies to what is under way.
    if (received === Received.CLOSED) this.reason ||= 'the client closed the connection';
    else if (received === Received.RESET) this.#end(this.#transport.failure);
    return received === Received.SOME;
  }

  /** After a turn that received: microseconds in which more had better gather; 0: it is to be served at once. */
  pause(now: number): number {
    const { steps } = this.#session;
    const isCopying = this.#isPiping || this.#incoming.bytes > steps * SMALL_REQUEST;
    return isCopying ? 0 : this.gathering.next(steps, now);
  }

  /** It is the only one of its thread. */
  set isAlone(isAlone: boolean) {
    this.#session.isAlone = isAlone;
  }

  /** When a request that waits may go on, milliseconds of `performance.now()`; Infinity: it is for others to say. */
  get due(): number {
    return this.next === Next.SEND || this.next >= Next.END ? Number.POSITIVE_INFINITY : this.#session.due;
  }

  /** It waits for nothing but requests that the device holds. */
  get isHeld(): boolean {
    return this.next === Next.WAIT && this.#session.isHeld;
  }

  /** The device may have thawed, or have let go of what it held. */
  wake(): void {
    this.#session.wake();
    if (this.next === Next.THAW) this.next = Next.RUN;
  }

  /** Between two turns, with nothing to be done before the peer acts. */
  get isAtRest(): boolean {
    return this.next === Next.RECEIVE;
  }

  /** It is at rest, and only its client can change that, or a message to it. */
  get mayRest(): boolean {
    return this.isAtRest && !this.isParting && this.events === POLLIN && this.#session.underWay === 0;
  }

  done(operation: Operation): void {
    this.#done.push(operation);
    if (this.#outgoing.isGone) this.next = this.#letGo();
    else if (this.next !== Next.SEND) this.next = Next.RUN;
  }

  get isGone(): boolean {
    return this.#outgoing.isGone;
  }

  /** False when the peer must first take what it was sent. */
  #answerDone(): boolean {
    const done = this.#done;
    let answered = 0;
    for (const operation of done) {
      if (!this.#session.answer(operation)) break;
      answered++;
    }
    if (answered > 0) done.splice(0, answered);
    return done.length === 0;
  }

  /**
   * Gives it up if it may be: everything that was begun is answered, and the peer has taken it. Ranges that are changed piece by
   * piece are left to whoever goes on.
   */
  part(): void {
    if (!this.isParting || !this.#isResting) return;
    const session = this.#session;
    if (session.owed > 0) return;
    for (const operation of this.#shared.operations?.changes.take(this) ?? []) {
      this.#passedOn.push(session.passOn(operation));
    }
    if (session.underWay === 0) this.next = Next.PARTED;
  }

  /** Nothing is to be sent, and nothing of what was received can be served now. */
  get #isResting(): boolean {
    return this.isAtRest || (this.next === Next.WAIT && this.reason === '' && this.#done.length === 0);
  }

  /** What was received and not served, or not to its end. */
  get leftover(): Uint8Array {
    return Buffer.concat([...this.#passedOn, this.#incoming.leftover]);
  }

  /** Releases what it holds; the connection is not used after this. */
  close(): void {
    this.#transport.close();
    close(this.fd);
    this.#incoming.close();
    this.#outgoing.close();
  }

  #after(status: Status): Next {
    if (this.#outgoing.isGone) return this.#letGo();
    if (!this.#outgoing.isTaken) return Next.SEND;
    if (this.reason !== '') {
      this.#session.abandon();
      return this.#session.underWay > 0 ? Next.WAIT : Next.END;
    }
    if (status === Status.OPEN) return this.#isWinding ? Next.WAIT : this.#reception;
    if (status === Status.PARKED) return Next.THAW;
    return status === Status.BUSY ? Next.WAIT : Next.RUN;
  }

  /** Poll does not tell of what is here already; one that parts takes it along. */
  get #reception(): Next {
    return this.#transport.hasMore && !this.isParting ? Next.RUN : Next.RECEIVE;
  }

  /** Events of its descriptor that it waits for; 0: none. */
  get events(): number {
    if (this.next === Next.RECEIVE) return this.#transport.receiveEvents;
    return this.next === Next.SEND ? this.#transport.sendEvents : 0;
  }

  /** It parts, and all that is missing is what it started: bytes that arrive are not for it. */
  get #isWinding(): boolean {
    return this.isParting && this.#session.owed === 0 && this.#session.underWay > 0;
  }

  /** Nobody is there to be answered; what is under way must end before memory and descriptor may go. */
  #letGo(): Next {
    this.#session.abandon();
    this.#session.dropWaiting();
    const waiting = this.#shared.operations?.changes.take(this) ?? [];
    for (const operation of [...this.#done.splice(0), ...waiting]) this.#session.discard(operation);
    return this.#session.underWay > 0 ? Next.WAIT : Next.END;
  }

  /** There is no one to send to. */
  #end(reason: string): void {
    this.#outgoing.isGone = true;
    this.reason ||= reason;
  }

  /** Ends it as soon as what is under way allows. */
  drop(reason: string): void {
    this.#end(reason);
    this.next = this.#letGo();
  }

  /** Ends it once what was served is answered and sent. */
  finish(reason: string): void {
    this.reason ||= reason;
    this.next = this.#after(Status.OPEN);
  }
}
