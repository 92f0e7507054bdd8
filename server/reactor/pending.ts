import { constants } from 'node:os';
import type { Memory } from '../system/buffers.js';
import { addressOf, errno, type Pipe, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, splice } from '../system/sockets.js';
import type { Spares } from '../system/spares.js';
import { Moved, type Transport } from './transport.js';

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

  drain(transport: Transport): Sent {
    const sent = this.#drainBytes(transport);
    if (sent !== Sent.ALL) return sent;
    while (this.#pipeBytes > 0 && this.#pipe !== undefined) {
      const flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
      const moved = splice(this.#pipe.readEnd, 0, transport.fd, 0, this.#pipeBytes, flags);
      if (moved > 0) this.#pipeBytes -= moved;
      else if (moved === 0 || errno() !== EINTR) return errno() === EAGAIN ? Sent.SOME : Sent.GONE;
    }
    while (this.#zeroes > 0) {
      const sent = transport.send(ZEROES_ADDRESS, Math.min(this.#zeroes, ZEROES.byteLength), 0);
      if (sent <= 0) return stopped(sent);
      this.#zeroes -= sent;
    }
    return Sent.ALL;
  }

  #drainBytes(transport: Transport): Sent {
    while (this.#address < this.#end) {
      const sent = transport.send(this.#address, this.#end - this.#address, 0);
      if (sent <= 0) return stopped(sent);
      this.#address += sent;
    }
    this.#giveMemory();
    return Sent.ALL;
  }

  #giveMemory(): void {
    if (this.#memory !== undefined) this.spares.give(this.#memory);
    this.#memory = undefined;
  }
}

const stopped = (moved: number): Sent => (moved === Moved.NOTHING ? Sent.SOME : Sent.GONE);
