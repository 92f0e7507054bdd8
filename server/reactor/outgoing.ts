import type { ZeroCopy } from '../session/link.js';
import type { Output, Sink } from '../session/output.js';
import type { Pipes } from '../system/pipes.js';
import { MSG_MORE, type Pipe } from '../system/sockets.js';
import { goOnFrom, MAGIC_BYTES } from '../wire/reply.js';
import { PendingOutput, Sent } from './pending.js';
import type { Shared } from './shared.js';
import { Moved, type Transport } from './transport.js';

/** What one connection sends: at once as far as the peer takes it, the rest when it does. */
export class Outgoing implements Sink, ZeroCopy {
  /** There is no one to send to. */
  isGone = false;
  readonly #transport: Transport;
  readonly #pipes: Pipes;
  readonly #onGone: (reason: string) => void;
  readonly #pending: PendingOutput;
  /** The magic number that the peer was sent before the reply it belongs to; 0 is none. */
  #ahead = 0;

  /** `onGone` is told why, whenever a send finds that there is no one to send to. */
  constructor(
    transport: Transport,
    shared: Pick<Shared, 'pipes' | 'spares'>,
    onGone: (reason: string) => void,
  ) {
    this.#transport = transport;
    this.#pipes = shared.pipes;
    this.#pending = new PendingOutput(shared.spares);
    this.#onGone = onGone;
  }

  /** The peer has taken all it was sent. */
  get isTaken(): boolean {
    return this.#pending.isEmpty;
  }

  /** Sends what the peer did not take before. False when that did not get through. */
  drain(): boolean {
    const sent = this.#pending.drain(this.#transport);
    const pipe = this.#pending.releasePipe();
    if (pipe !== undefined) this.#pipes.give(pipe);
    if (sent === Sent.GONE) this.#end(this.#transport.failure);
    return sent === Sent.ALL;
  }

  /** Releases what it holds. */
  close(): void {
    const pipe = this.#pending.abandon();
    if (pipe !== undefined) this.#pipes.drop(pipe);
  }

  #end(reason: string): void {
    this.isGone = true;
    this.#onGone(reason);
  }

  /* Sink */

  flush(out: Output): boolean {
    return this.#send(out, 0);
  }

  sendAhead(out: Output): boolean {
    // By TLS it would be a record of its own.
    if (this.#ahead !== 0 || !this.isTaken || !this.#transport.isPlain) return false;
    const sent = this.#transport.send(out.address, MAGIC_BYTES, 0);
    if (sent === MAGIC_BYTES) this.#ahead = out.view.getUint32(0);
    else if (sent > 0) this.#end('the kernel takes replies byte by byte');
    return sent === MAGIC_BYTES;
  }

  /** Bytes of what is to be sent that the peer has. */
  #goOn(out: Output): number {
    const magic = this.#ahead;
    this.#ahead = 0;
    return magic === 0 ? 0 : goOnFrom(magic, out.view);
  }

  #send(out: Output, flags: number): boolean {
    if (this.isGone) return false;
    // What the peer did not take may end within the data of a reply.
    if (!this.isTaken) out.abort('more is sent before the peer took what was');
    if (out.fault !== '') return false;
    let sent = this.#goOn(out);
    while (sent < out.length) {
      const count = this.#transport.send(out.address + sent, out.length - sent, flags);
      if (count > 0) {
        sent += count;
      } else {
        if (count === Moved.GONE) this.#end(this.#transport.failure);
        else this.#pending.keepBytes(out.bytes.subarray(sent, out.length));
        return false;
      }
    }
    return true;
  }

  /* ZeroCopy */

  pipe(length: number): Pipe | undefined {
    return this.#pipes.take(length);
  }

  discard(pipe: Pipe): void {
    this.#pipes.drop(pipe);
  }

  sendPipe(out: Output, pipe: Pipe, count: number, zeroes: number): void {
    const sent = this.#send(out, MSG_MORE);
    out.length = 0;
    if (out.fault !== '') {
      this.#pipes.drop(pipe);
      return;
    }
    this.#pending.keepPipe(pipe, count, zeroes);
    if (sent) this.drain();
    out.isBlocked = this.isGone || !this.isTaken;
  }
}
