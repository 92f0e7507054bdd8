import { constants } from 'node:os';
import type { ZeroCopy } from '../session/link.js';
import type { Output, Sink } from '../session/output.js';
import type { Pipes } from '../system/pipes.js';
import { errno, MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, type Pipe, send } from '../system/sockets.js';
import { goOnFrom, MAGIC_BYTES } from '../wire/reply.js';
import { failure, PendingOutput, Sent } from './pending.js';
import type { Shared } from './shared.js';

const { EINTR } = constants.errno;

/** What one connection sends: at once as far as the peer takes it, the rest when it does. */
export class Outgoing implements Sink, ZeroCopy {
  /** There is no one to send to. */
  isGone = false;
  readonly #fd: number;
  readonly #pipes: Pipes;
  readonly #onGone: (reason: string) => void;
  readonly #pending: PendingOutput;
  /** The magic number that the peer was sent before the reply it belongs to; 0 is none. */
  #ahead = 0;

  /** `onGone` is told why, whenever a send finds that there is no one to send to. */
  constructor(fd: number, shared: Pick<Shared, 'pipes' | 'spares'>, onGone: (reason: string) => void) {
    this.#fd = fd;
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
    const sent = this.#pending.drain(this.#fd);
    const pipe = this.#pending.releasePipe();
    if (pipe !== undefined) this.#pipes.give(pipe);
    if (sent === Sent.GONE) this.#end('the connection was reset');
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
    if (this.#ahead !== 0 || !this.isTaken) return false;
    const sent = send(this.#fd, out.address, MAGIC_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
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
      const count = send(
        this.#fd,
        out.address + sent,
        out.length - sent,
        MSG_DONTWAIT | MSG_NOSIGNAL | flags,
      );
      if (count > 0) {
        sent += count;
      } else if (errno() !== EINTR) {
        if (failure() === Sent.GONE) this.#end('the connection was reset');
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
