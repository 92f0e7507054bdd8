import { constants } from 'node:os';
import type { Memory } from '../system/buffers.js';
import {
  addressOf,
  errno,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  type Pipe,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
  send,
  splice,
} from '../system/sockets.js';
import type { Spares } from '../system/spares.js';

const { EAGAIN, EINTR } = constants.errno;

/** How far sending got. */
export const Sent = {
  ALL: 0,
  /** The peer's buffers are full. */
  SOME: 1,
  /** The connection is gone. */
  GONE: 2,
} as const;
export type Sent = (typeof Sent)[keyof typeof Sent];

const ZEROES = new ArrayBuffer(64 << 10);
const ZEROES_ADDRESS = addressOf(ZEROES);

/**
 * What the peer of one connection has not taken yet, in order: bytes, then the content of a pipe, then zeroes.
 * At most one reply's worth behind one output buffer's: nothing is added before it is empty.
 */
export class PendingOutput {
  #memory: Memory | undefined;
  /** Of the bytes left in the memory. */
  #address = 0;
  #end = 0;
  #pipe: Pipe | undefined;
  #pipeBytes = 0;
  #zeroes = 0;

  constructor(private readonly spares: Spares) {}

  get isEmpty(): boolean {
    return this.#memory === undefined && this.#pipeBytes === 0 && this.#zeroes === 0;
  }

  /** Keeps a copy. Only when empty. */
  keepBytes(bytes: Uint8Array): void {
    const memory = this.spares.take(bytes.length);
    memory.bytes.set(bytes);
    this.#memory = memory;
    this.#address = memory.address;
    this.#end = memory.address + bytes.length;
  }

  /** Takes the pipe; it comes back from `releasePipe` when it is empty. */
  keepPipe(pipe: Pipe, count: number, zeroes: number): void {
    this.#pipe = pipe;
    this.#pipeBytes = count;
    this.#zeroes = zeroes;
  }

  /** The pipe that `keepPipe` took, once its content is sent. */
  releasePipe(): Pipe | undefined {
    if (this.#pipeBytes > 0) return undefined;
    const pipe = this.#pipe;
    this.#pipe = undefined;
    return pipe;
  }

  /** Keeps nothing any more. The pipe with whatever it holds, for closing. */
  abandon(): Pipe | undefined {
    this.#giveMemory();
    const pipe = this.#pipe;
    this.#pipe = undefined;
    return pipe;
  }

  drain(fd: number): Sent {
    const sent = this.#drainBytes(fd);
    if (sent !== Sent.ALL) return sent;
    while (this.#pipeBytes > 0 && this.#pipe !== undefined) {
      const flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
      const moved = splice(this.#pipe.readEnd, 0, fd, 0, this.#pipeBytes, flags);
      if (moved > 0) this.#pipeBytes -= moved;
      else if (moved === 0 || errno() !== EINTR) return failure();
    }
    while (this.#zeroes > 0) {
      const length = Math.min(this.#zeroes, ZEROES.byteLength);
      const sent = send(fd, ZEROES_ADDRESS, length, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) this.#zeroes -= sent;
      else if (errno() !== EINTR) return failure();
    }
    return Sent.ALL;
  }

  #drainBytes(fd: number): Sent {
    while (this.#address < this.#end) {
      const sent = send(fd, this.#address, this.#end - this.#address, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) this.#address += sent;
      else if (errno() !== EINTR) return failure();
    }
    this.#giveMemory();
    return Sent.ALL;
  }

  #giveMemory(): void {
    if (this.#memory !== undefined) this.spares.give(this.#memory);
    this.#memory = undefined;
  }
}

/** What a send that returned -1 means. */
export const failure = (): Sent => (errno() === EAGAIN ? Sent.SOME : Sent.GONE);
