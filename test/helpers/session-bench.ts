/** A transmission session in memory, fed and read like a connection does it. */
import type { Backend } from '../../server/backend.js';
import type { NegotiatedContext, ReplyMode } from '../../server/negotiation/outcome.js';
import { Input } from '../../server/session/input.js';
import { endingOf, Status, type ZeroCopy } from '../../server/session/link.js';
import type { Operation, Owner } from '../../server/session/operation.js';
import { Operations } from '../../server/session/operations.js';
import { Output, type Sink } from '../../server/session/output.js';
import { Session } from '../../server/session/session.js';
import type { Pipe } from '../../server/system/sockets.js';
import { goOnFrom, MAGIC_BYTES } from '../../server/wire/reply.js';
import { DeferringBackend } from './deferring-backend.js';
import { FaultyBackend } from './memory-backend.js';
import { type Ask, encodeAsk, type Reply, ReplyReader } from './transmission-client.js';

export interface BenchOptions {
  readonly mode?: ReplyMode;
  /** Bytes of the device. */
  readonly size?: number;
  readonly contexts?: readonly NegotiatedContext[];
  readonly minimumBlock?: number;
  /** The session's, as on a read-only listener. */
  readonly readOnly?: boolean;
  readonly maxPayload?: number;
  /** SEND_FAST_ZERO was advertised. */
  readonly fastZero?: boolean;
  /** Replies may go through a pipe in memory. */
  readonly zeroCopy?: boolean;
  /** Bytes received at most at once. */
  readonly inputBytes?: number;
  readonly outputBytes?: number;
  /** Operations that may be under way on the thread; without them everything is done in place. */
  readonly operations?: number;
  /** The session is the only one of its thread. */
  readonly isAlone?: boolean;
}

export const ALLOCATION: readonly NegotiatedContext[] = [{ id: 1, name: 'base:allocation' }];

export class SessionBench implements Sink, ZeroCopy, Owner {
  readonly memory: DeferringBackend;
  readonly backend: FaultyBackend;
  readonly session: Session;
  readonly mode: ReplyMode;
  /** The peer takes nothing: what is sent is kept for it. */
  isBlocked = false;
  /** Nobody is there to be answered any more. */
  isGone = false;
  /** Largest number of bytes that waited for the peer at once. */
  mostKept = 0;

  /** How many operations were under way each time that some were handed over. */
  readonly handedOver: number[] = [];

  readonly #reader: ReplyReader;
  readonly #out: Output;
  readonly #input: Input;
  #unserved: Buffer = Buffer.alloc(0);
  #sent: Buffer[] = [];
  #kept: Buffer[] = [];
  #lastPipe = 0;
  /** The magic numbers that were sent ahead, and how many calls the backend had seen by then. */
  readonly ahead: { readonly magic: number; readonly calls: number }[] = [];
  #ahead = 0;
  readonly #operations: Operations | undefined;
  /** Operations that are done and not answered. */
  readonly #done: Operation[] = [];

  constructor(options: BenchOptions = {}) {
    this.mode = options.mode ?? 'simple';
    this.memory = new DeferringBackend(options.size ?? 1 << 20);
    this.#operations = this.#operationsOf(options.operations);
    this.backend = new FaultyBackend(this.memory);
    this.#reader = new ReplyReader(this.mode);
    this.#reader.allowsAnyForm = options.isAlone === true;
    this.#out = new Output(options.outputBytes ?? 1 << 20);
    this.#input = new Input(options.inputBytes ?? 1 << 20);
    this.session = new Session({
      backend: this.backend satisfies Backend,
      out: this.#out,
      mode: this.mode,
      contexts: options.contexts ?? [],
      minimumBlock: options.minimumBlock ?? 1,
      readOnly: options.readOnly ?? false,
      maxPayload: options.maxPayload,
      fastZero: options.fastZero,
      zeroCopy: options.zeroCopy ? this : undefined,
      deferral: this.#operations && { operations: this.#operations, owner: this },
    });
    this.session.isAlone = options.isAlone === true;
  }

  #operationsOf(limit: number | undefined): Operations | undefined {
    if (limit === undefined) return undefined;
    const submit = (): boolean => {
      this.handedOver.push(this.memory.started);
      return true;
    };
    return new Operations({ limit, submit });
  }

  /** Ends the operation that was started first, or last; returns the replies that came. */
  end(which: { readonly last?: boolean } = {}): Reply[] {
    if (this.#operations !== undefined) this.memory.end(this.#operations, which);
    return this.again();
  }

  /** Next pieces of long TRIMs and WRITE_ZEROES, as a reactor has them begun between two turns. */
  goOn(): Reply[] {
    this.#operations?.changes.goOn();
    return this.again();
  }

  /** Looks at them again after a thaw. */
  thawed(): void {
    this.#operations?.changes.thawed();
  }

  done(operation: Operation): void {
    this.#done.push(operation);
  }

  /** Sends requests and returns the replies that came; replies to requests sent before come first. */
  ask(...asks: readonly Ask[]): Reply[] {
    this.#reader.expect(...asks);
    return this.send(Buffer.concat(asks.map((ask) => encodeAsk(this.mode, ask))));
  }

  /** Sends one request, which must be answered at once. */
  askOne(ask: Ask): Reply {
    const replies = this.ask(ask);
    const [reply] = replies;
    if (reply === undefined || replies.length > 1)
      throw new Error(`${replies.length} replies to one request`);
    return reply;
  }

  /** Requests whose bytes `send` will bring, in pieces. */
  expect(...asks: readonly Ask[]): void {
    this.#reader.expect(...asks);
  }

  /** Sends bytes and returns the replies that came. */
  send(bytes: Buffer): Reply[] {
    this.#unserved = Buffer.concat([this.#unserved, bytes]);
    this.#serve();
    return this.#received();
  }

  /** Looks again, as after a thaw. */
  again(): Reply[] {
    return this.send(Buffer.alloc(0));
  }

  /** The peer takes what was kept for it, and more from here on. */
  unblock(): Reply[] {
    this.isBlocked = false;
    this.#sent.push(...this.#kept.splice(0));
    return this.again();
  }

  /** The session ended: nothing is served any more. */
  get isOver(): boolean {
    return endingOf(this.session.status) !== undefined;
  }

  /** Requests without a whole reply. */
  get unanswered(): number {
    return this.#reader.unanswered;
  }

  /** Bytes of the stream that were not served. */
  get unserved(): number {
    return this.#unserved.length;
  }

  #serve(): void {
    const { bytes } = this.#input;
    this.#answerDone();
    while (this.#kept.length === 0 && !this.isOver) {
      const end = Math.min(this.#unserved.length, bytes.length);
      bytes.set(this.#unserved.subarray(0, end));
      this.#out.begin(this);
      const served = this.session.serve(this.#input, 0, end);
      this.#out.flush();
      this.#unserved = this.#unserved.subarray(served);
      const { inFlight, started } = this.memory;
      if (inFlight !== started) throw new Error(`${inFlight} counted in, ${started} started`);
      const { status } = this.session;
      if (status === Status.YIELD) continue;
      if (status !== Status.OPEN || served === 0 || this.#unserved.length === 0) return;
    }
  }

  #answerDone(): void {
    this.#out.begin(this);
    while (this.#kept.length === 0) {
      const [operation] = this.#done;
      if (operation === undefined || !this.session.answer(operation)) break;
      this.#done.shift();
    }
    this.#out.flush();
  }

  #received(): Reply[] {
    return this.#reader.read(Buffer.concat(this.#sent.splice(0)));
  }

  #take(bytes: Buffer): boolean {
    if (!this.isBlocked) {
      this.#sent.push(bytes);
      return true;
    }
    this.#kept.push(bytes);
    const kept = this.#kept.reduce((sum, { length }) => sum + length, 0);
    this.mostKept = Math.max(this.mostKept, kept);
    return false;
  }

  flush(out: Output): boolean {
    return this.#take(this.#taken(out));
  }

  #taken(out: Output): Buffer {
    const start = this.#ahead === 0 ? 0 : goOnFrom(this.#ahead, out.view);
    this.#ahead = 0;
    return Buffer.from(out.bytes.subarray(start, out.length));
  }

  sendAhead(out: Output): boolean {
    if (this.isBlocked) return false;
    this.#ahead = out.view.getUint32(0);
    this.ahead.push({ magic: this.#ahead, calls: this.memory.log.length });
    this.#take(Buffer.from(out.bytes.subarray(0, MAGIC_BYTES)));
    return true;
  }

  pipe(length: number): Pipe {
    const writeEnd = ++this.#lastPipe;
    this.memory.pipes.set(writeEnd, Buffer.alloc(0));
    return { readEnd: writeEnd, writeEnd, capacity: length };
  }

  sendPipe(out: Output, pipe: Pipe, count: number, zeroes: number): void {
    const head = this.#taken(out);
    out.length = 0;
    const content = this.memory.pipes.get(pipe.writeEnd);
    if (content?.length !== count) throw new Error('the pipe holds something else');
    this.memory.pipes.delete(pipe.writeEnd);
    out.isBlocked = !this.#take(Buffer.concat([head, content, Buffer.alloc(zeroes)]));
  }

  discard(pipe: Pipe): void {
    this.memory.pipes.delete(pipe.writeEnd);
  }
}
