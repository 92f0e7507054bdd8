import { constants } from 'node:os';
import type { Input } from './input.js';
import { PayloadPipe } from './payload-pipe.js';
import type { Pipes } from './pipes.js';
import { errno, MSG_DONTWAIT, recv } from './sockets.js';

const { EAGAIN, EINTR } = constants.errno;

/** What receiving came to. */
export const Received = { SOME: 0, NOTHING: 1, CLOSED: 2, RESET: 3 } as const;
export type Received = (typeof Received)[keyof typeof Received];

/** What one connection receives, in memory or, of a long payload, in a pipe; and what of it is not served yet. */
export class Incoming {
  /** How often there was something, and the bytes of the last time. */
  times = 0;
  bytes = 0;
  /** What a long payload comes through. */
  readonly pipe: PayloadPipe;
  readonly #fd: number;
  readonly #input: Input;
  /** Received, not served. */
  #stash: Uint8Array;
  #stashed: number;
  /** In memory, with what is stashed. */
  #end: number;

  constructor(fd: number, input: Input, pipes: Pipes, leftover: Uint8Array) {
    this.#fd = fd;
    this.#input = input;
    this.pipe = new PayloadPipe(pipes);
    this.#stash = leftover;
    this.#stashed = this.#end = leftover.length;
  }

  /** A copy of what is stashed. */
  get leftover(): Uint8Array {
    return this.#stash.slice(0, this.#stashed);
  }

  /** Receives into memory, until there are at most so many bytes with what is stashed. */
  receive(most = this.#input.bytes.length): Received {
    const room = most - this.#stashed;
    if (room <= 0) return Received.NOTHING;
    const count = recv(this.#fd, this.#input.address + this.#stashed, room, MSG_DONTWAIT);
    if (count > 0) this.#end = this.#stashed + count;
    return this.#outcome(count);
  }

  /** Receives into the pipe, which is open, up to `most` bytes with what it holds. */
  receivePiped(most: number): Received {
    return this.#outcome(this.pipe.receive(this.#fd, most));
  }

  #outcome(count: number): Received {
    if (count > 0) {
      this.times++;
      this.bytes = count;
      return Received.SOME;
    }
    if (count === 0) return Received.CLOSED;
    return errno() === EAGAIN || errno() === EINTR ? Received.NOTHING : Received.RESET;
  }

  /** Puts what is stashed in front of what was received. Returns the end of both in the input. */
  present(): number {
    if (this.#stashed > 0) this.#input.bytes.set(this.#stash.subarray(0, this.#stashed));
    return this.#end;
  }

  /** What was presented is served up to here: stashes the rest. */
  keepFrom(served: number): void {
    if (served < this.#end) this.#keep(this.#input.bytes.subarray(served, this.#end));
    else this.#stashed = this.#end = 0;
  }

  #keep(rest: Uint8Array): void {
    this.#stashed = this.#end = rest.length;
    if (this.#stash.length < rest.length) this.#stash = new Uint8Array(Math.max(rest.length, 4096));
    this.#stash.set(rest);
  }

  /** What is stashed, less than a page, and what comes behind it goes through a pipe. False where it can't. */
  openPipe(): boolean {
    if (!this.pipe.open(this.#stash, this.#stashed)) return false;
    this.#stashed = this.#end = 0;
    return true;
  }

  /** What the pipe holds, and what comes behind it, goes through memory. */
  spillPipe(): void {
    this.#keep(this.pipe.spill());
  }
}
