import { constants } from 'node:os';
import type { Input } from '../session/input.js';
import { awayFromPage, type Memory } from '../system/buffers.js';
import { PayloadPipe } from '../system/payload-pipe.js';
import { errno } from '../system/sockets.js';
import type { Spares } from '../system/spares.js';
import type { Shared } from './shared.js';
import { Moved, type Transport } from './transport.js';

const { EAGAIN, EINTR } = constants.errno;

/** What receiving came to. */
export const Received = { SOME: 0, NOTHING: 1, CLOSED: 2, RESET: 3 } as const;
export type Received = (typeof Received)[keyof typeof Received];

/** Bytes a connection keeps itself: the beginning of a request. */
const SMALL = 4096;

/** What one connection receives, in memory or, of a long payload, in a pipe; and what of it is not served yet. */
export class Incoming {
  /** How often there was something, and the bytes of the last time. */
  times = 0;
  bytes = 0;
  /** What a long payload comes through. */
  readonly pipe: PayloadPipe;
  readonly #transport: Transport;
  readonly #input: Input;
  readonly #spares: Spares;
  /** Where the little that mostly is left lies; made when there is some. */
  #small: Memory | undefined;
  /** Received, not served. */
  #stash: Memory | undefined;
  #stashed = 0;
  /** In memory, with what is stashed. */
  #end = 0;

  constructor(
    transport: Transport,
    { input, pipes, spares }: Pick<Shared, 'input' | 'pipes' | 'spares'>,
    leftover: Uint8Array,
  ) {
    this.#transport = transport;
    this.#input = input;
    this.#spares = spares;
    this.pipe = new PayloadPipe(pipes);
    if (leftover.length > 0) this.#keep(leftover);
  }

  /** A copy of what is stashed. */
  get leftover(): Uint8Array {
    return this.#stash?.bytes.slice(0, this.#stashed) ?? new Uint8Array(0);
  }

  /** Receives into memory, until there are at most so many bytes with what is stashed. */
  receive(most = this.#input.bytes.length): Received {
    const room = most - this.#stashed;
    if (room <= 0) return Received.NOTHING;
    const count = this.#transport.receive(this.#input.address + this.#stashed, room);
    if (count > 0) this.#end = this.#stashed + count;
    return this.#outcome(count);
  }

  /** Receives into the pipe, which is open, up to `most` bytes with what it holds. */
  receivePiped(most: number): Received {
    const count = this.pipe.receive(this.#transport.fd, most);
    if (count >= 0) return this.#outcome(count);
    return this.#outcome(errno() === EAGAIN || errno() === EINTR ? Moved.NOTHING : Moved.GONE);
  }

  #outcome(count: number): Received {
    if (count > 0) {
      this.times++;
      this.bytes = count;
      return Received.SOME;
    }
    if (count === Moved.END) return Received.CLOSED;
    return count === Moved.NOTHING ? Received.NOTHING : Received.RESET;
  }

  /** Puts what is stashed in front of what was received. Returns the end of both in the input. */
  present(): number {
    if (this.#stash !== undefined) this.#input.bytes.set(this.#stash.bytes.subarray(0, this.#stashed));
    return this.#end;
  }

  /** What was presented is served up to here: stashes the rest. */
  keepFrom(served: number): void {
    if (served < this.#end) this.#keep(this.#input.bytes.subarray(served, this.#end));
    else this.#forget();
  }

  #keep(rest: Uint8Array): void {
    this.#room(rest.length).bytes.set(rest);
    this.#stashed = this.#end = rest.length;
  }

  /** Memory for as many bytes, in place of what is stashed. */
  #room(length: number): Memory {
    if (length <= SMALL) {
      this.#forget();
      this.#small ??= awayFromPage(SMALL);
      this.#stash = this.#small;
    } else if (this.#stash === undefined || this.#stash.bytes.length < length) {
      this.#forget();
      this.#stash = this.#spares.take(length);
    }
    return this.#stash;
  }

  /** Nothing is stashed. */
  #forget(): void {
    if (this.#stash !== undefined && this.#stash !== this.#small) this.#spares.give(this.#stash);
    this.#stash = undefined;
    this.#stashed = this.#end = 0;
  }

  /** What is stashed, less than a page, and what comes behind it goes through a pipe. False where it can't. */
  openPipe(): boolean {
    if (!this.#transport.isPlain || !this.pipe.open(this.#stash?.address ?? 0, this.#stashed)) return false;
    this.#forget();
    return true;
  }

  /** What the pipe holds, and what comes behind it, goes through memory. */
  spillPipe(): void {
    const { held } = this.pipe;
    this.pipe.spill(this.#room(held).address);
    this.#stashed = this.#end = held;
  }

  /** Releases what it holds. */
  close(): void {
    this.pipe.drop();
    this.#forget();
  }
}
