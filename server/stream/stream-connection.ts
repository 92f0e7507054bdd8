import type { Duplex } from 'node:stream';
import type { Backend } from '../backend.js';
import type { NegotiatedContext, ReplyMode } from '../negotiation/outcome.js';
import { Next } from '../reactor/next.js';
import type { Input } from '../session/input.js';
import { DISCONNECTED, endingOf, faultReason, Status } from '../session/link.js';
import type { Output, Sink } from '../session/output.js';
import { Session } from '../session/session.js';
import { PieceSender, type Pieces } from './piece-sender.js';

/** With so much waiting to be served, nothing more is read from the stream, bytes. */
const ENOUGH_BYTES = 256 << 10;

/** Memory that the streams of a thread use in turns. */
export interface StreamMemory {
  readonly input: Input;
  readonly out: Output;
  readonly pieces: Pieces;
}

export interface StreamConnectionOptions {
  readonly stream: Duplex;
  readonly backend: Backend;
  readonly mode: ReplyMode;
  readonly contexts: readonly NegotiatedContext[];
  readonly minimumBlock: number;
  readonly readOnly: boolean;
  readonly maxPayload?: number | undefined;
  readonly fastZero?: boolean | undefined;
  /** Received already, by whoever negotiated. */
  readonly leftover: Uint8Array;
  /** Called once, when the stream is closed. */
  readonly onClose: (reason: string) => void;
}

/**
 * A stream in the transmission phase, on Node's event loop: what `Connection` is to a socket on a reactor, for
 * the connections a reactor can't serve because Node holds their keys (TLS).
 *
 * Bounded memory: the stream's own buffers; what was received and not served, at most a request and a payload
 * that is written whole; and one output that the peer has not taken, during which nothing is read or served.
 */
export class StreamConnection implements Sink {
  readonly #memory: StreamMemory;
  readonly #stream: Duplex;
  readonly #session: Session;
  readonly #sender: PieceSender;
  #next: Next = Next.RUN;
  #reason = '';
  #isDraining = false;
  /** Received, and not looked at since. */
  readonly #arrived: Buffer[] = [];
  #arrivedBytes = 0;
  /** Looked at, not served. */
  #stash: Uint8Array;
  /** The session could go on with what is stashed; else it needs more bytes first. */
  #isRunnable: boolean;

  constructor(memory: StreamMemory, options: StreamConnectionOptions) {
    const { stream, leftover, onClose } = options;
    this.#memory = memory;
    this.#stream = stream;
    this.#session = new Session({ ...options, out: memory.out, zeroCopy: undefined });
    this.#sender = new PieceSender(memory.pieces, stream, () => this.#goOnSoon(Next.SEND));
    this.#stash = leftover;
    this.#isRunnable = leftover.length > 0;
    // A client that has ended its side is still owed the replies to what it sent.
    stream.allowHalfOpen = true;
    stream.on('data', (bytes: Buffer) => this.#take(bytes));
    stream.on('end', () => this.#goOn(Next.RECEIVE));
    stream.on('error', () => this.#cut('the connection was reset'));
    stream.once('close', () => {
      this.#next = Next.END;
      onClose(this.#reason || 'the client closed the connection');
    });
    this.#runSoon();
  }

  /** The device may have thawed. */
  wake(): void {
    this.#goOn(Next.THAW);
  }

  /** Serves what was received, then ends. */
  drain(): void {
    this.#isDraining = true;
    this.#goOn(Next.RECEIVE);
  }

  /** Ends now. */
  drop(reason: string): void {
    this.#cut(reason);
  }

  /** A record of the peer's. What belongs together arrives within one round of the event loop, mostly. */
  #take(bytes: Buffer): void {
    this.#arrived.push(bytes);
    this.#arrivedBytes += bytes.length;
    if (this.#arrivedBytes >= ENOUGH_BYTES) this.#stream.pause();
    this.#goOnSoon(Next.RECEIVE);
  }

  /** Takes a turn if that is what the connection waits for. */
  #goOn(awaited: Next): void {
    if (this.#next === awaited) this.#turn();
  }

  /** Takes a turn after what else the event loop has to do now. */
  #goOnSoon(awaited: Next): void {
    if (this.#next !== awaited) return;
    this.#next = Next.RUN;
    this.#runSoon();
  }

  #runSoon(): void {
    setImmediate(() => this.#goOn(Next.RUN));
  }

  /** One share of work; decides what the connection waits for next. */
  #turn(): void {
    const received = this.#isRunnable ? 0 : this.#receive();
    if (received === 0 && !this.#isRunnable) {
      this.#next = Next.RECEIVE;
      if (this.#stream.readableEnded) this.#finish('the client closed the connection');
      else if (this.#isDraining) this.#finish('the server is draining');
      return;
    }
    this.#serve(received);
    if (this.#next === Next.RUN) this.#runSoon();
  }

  /** Copies what is there behind what is stashed; bytes. */
  #receive(): number {
    const { bytes } = this.#memory.input;
    const begin = this.#stash.length;
    let end = begin;
    let count = 0;
    for (const piece of this.#arrived) {
      const room = bytes.length - end;
      if (piece.length > room) {
        bytes.set(piece.subarray(0, room), end);
        this.#arrived[count] = piece.subarray(room);
        end += room;
        break;
      }
      bytes.set(piece, end);
      end += piece.length;
      count++;
    }
    this.#arrived.splice(0, count);
    this.#arrivedBytes -= end - begin;
    if (this.#arrivedBytes < ENOUGH_BYTES && this.#stream.isPaused()) this.#stream.resume();
    return end - begin;
  }

  #serve(received: number): void {
    const { input, out } = this.#memory;
    input.bytes.set(this.#stash);
    const end = this.#stash.length + received;
    out.begin(this);
    const served = this.#session.serve(input, 0, end);
    const isTaken = out.flush();
    this.#stash = input.bytes.slice(served, end);
    const { status } = this.#session;
    this.#isRunnable = status !== Status.OPEN;
    const ending = endingOf(status);
    if (out.fault !== '') this.#cut(faultReason(out.fault));
    else if (status === Status.FINISHED) this.#finish(DISCONNECTED);
    else if (ending !== undefined) this.#cut(ending);
    else if (this.#next !== Next.END) this.#next = this.#after(status, isTaken);
  }

  #after(status: Status, isTaken: boolean): Next {
    if (!isTaken) return Next.SEND;
    if (status === Status.PARKED) return Next.THAW;
    if (status !== Status.OPEN || this.#arrivedBytes > 0) return Next.RUN;
    // Nobody will tell again that the stream has ended.
    return this.#isDraining || this.#stream.readableEnded ? Next.RUN : Next.RECEIVE;
  }

  /** Lets the peer have what it was sent, says goodbye, and closes. */
  #finish(reason: string): void {
    this.#reason ||= reason;
    this.#next = Next.END;
    this.#sender.end();
  }

  #cut(reason: string): void {
    this.#reason ||= reason;
    this.#next = Next.END;
    this.#stream.destroy();
  }

  /* Sink */

  /** All is kept: the stream tells later that it is encrypted and sent. */
  flush(out: Output): boolean {
    if (this.#next !== Next.END) this.#sender.send(out.bytes.subarray(0, out.length));
    return false;
  }
}
