import { constants } from 'node:os';
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
} from './sockets.js';

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
  #bytes: Uint8Array | undefined;
  #address = 0;
  #pipe: Pipe | undefined;
  #pipeBytes = 0;
  #zeroes = 0;

  get isEmpty(): boolean {
    return this.#bytes === undefined && this.#pipeBytes === 0 && this.#zeroes === 0;
  }

  /** Keeps a copy. Only when empty. */
  keepBytes(bytes: Uint8Array): void {
    this.#bytes = bytes.slice();
    this.#address = addressOf(this.#bytes);
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

  /** The pipe with whatever it holds, for closing. */
  abandonPipe(): Pipe | undefined {
    const pipe = this.#pipe;
    this.#pipe = undefined;
    return pipe;
  }

  drain(fd: number): Sent {
    if (this.#bytes !== undefined) {
      const sent = this.#drainBytes(fd, this.#bytes);
      if (sent !== Sent.ALL) return sent;
    }
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

  #drainBytes(fd: number, bytes: Uint8Array): Sent {
    const end = addressOf(bytes) + bytes.length;
    while (this.#address < end) {
      const sent = send(fd, this.#address, end - this.#address, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) this.#address += sent;
      else if (errno() !== EINTR) return failure();
    }
    this.#bytes = undefined;
    return Sent.ALL;
  }
}

/** What a send that returned -1 means. */
export const failure = (): Sent => (errno() === EAGAIN ? Sent.SOME : Sent.GONE);
