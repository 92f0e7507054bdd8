import { constants } from 'node:os';
import type { Pipes } from './pipes.js';
import {
  errno,
  hasInput,
  type Pipe,
  read,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
  splice,
  write,
} from './sockets.js';

const { EAGAIN } = constants.errno;

/** Bytes it holds at most, so that memory can take them where the file can't. */
const MOST_HELD = 1 << 20;

/** Through which the payload of a long WRITE gets from a socket to the page cache. Its pages move: it is copied once. */
export class PayloadPipe {
  /** Bytes that were received and not written. */
  held = 0;
  /** It takes no more, though what it holds is little: small segments need a page each. */
  isFull = false;
  readonly #pipes: Pipes;
  #pipe: Pipe | undefined;

  constructor(pipes: Pipes) {
    this.#pipes = pipes;
  }

  get isOpen(): boolean {
    return this.#pipe !== undefined;
  }

  get readEnd(): number {
    return this.#pipe?.readEnd ?? -1;
  }

  /** Takes an empty pipe, and puts in what was received already: less than a page, at an address. False where it can't. */
  open(address: number, length: number): boolean {
    const pipe = this.#pipes.take(0);
    if (pipe === undefined) return false;
    if (length > 0 && write(pipe.writeEnd, address, length) !== length) {
      this.#pipes.drop(pipe);
      return false;
    }
    this.#pipe = pipe;
    this.held = length;
    return true;
  }

  /** Receives up to `most` bytes; what recv would return. With EAGAIN `isFull` may be set. */
  receive(fd: number, most: number): number {
    const pipe = this.#pipe as Pipe;
    const room = Math.min(most, MOST_HELD) - this.held;
    const received = splice(fd, 0, pipe.writeEnd, 0, room, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (received > 0) this.held += received;
    else if (received < 0 && errno() === EAGAIN) this.isFull = this.held > 0 && hasInput(fd);
    return received;
  }

  /** So much of it is written. */
  took(count: number): void {
    this.held -= count;
    this.isFull = false;
  }

  /** Gives up the pipe, and copies the bytes it `held` to an address. */
  spill(address: number): void {
    const end = address + this.held;
    for (let at = address; at < end; ) at += Math.max(0, read(this.readEnd, at, end - at));
    this.held = 0;
    this.close();
  }

  /** Gives up the pipe and what it held. */
  drop(): void {
    if (this.#pipe !== undefined) this.#pipes.drop(this.#pipe);
    this.#pipe = undefined;
    this.held = 0;
    this.isFull = false;
  }

  /** Gives the pipe back, which is empty. */
  close(): void {
    if (this.#pipe !== undefined) this.#pipes.give(this.#pipe);
    this.#pipe = undefined;
    this.isFull = false;
  }
}
