import { hasInput, lastTlsError, type OpenSsl, openssl, SslError, socketBio } from '../system/openssl.js';
import { POLLIN, POLLOUT } from '../system/sockets.js';
import { Moved, type Transport } from './transport.js';

/** Records that are decrypted by one `receive`, at most: what others wait for, 1 MiB where they are full. */
const MOST_RECORDS = 256;

/**
 * A connection of OpenSSL's on a socket, which it reads and writes itself. It comes from another thread, and was fed from
 * memory until then: what is left there is read first.
 */
export class TlsTransport implements Transport {
  readonly isPlain = false;
  receiveEvents = POLLIN;
  sendEvents = POLLOUT;
  hasMore = true;
  failure = 'the connection was reset';
  readonly #calls: OpenSsl = openssl();
  /** It reads from the socket by now. */
  #isAtSocket = false;
  /** Nothing can be said over it any more, a goodbye neither. */
  #isBroken = false;
  /** What every receive comes to from here on. */
  #end: typeof Moved.END | typeof Moved.GONE | undefined;

  /** `ssl`: its address; this frees it. */
  constructor(
    readonly fd: number,
    private readonly ssl: number,
  ) {
    this.#calls.clearErrors();
    this.#calls.setOutput(ssl, socketBio(fd));
  }

  receive(address: number, room: number): number {
    const { read, hasPending } = this.#calls;
    this.hasMore = false;
    if (this.#end !== undefined) return this.#end;
    let received = 0;
    for (let records = 0; received < room && records < MOST_RECORDS; records++) {
      const count = read(this.ssl, address + received, room - received);
      if (count > 0) {
        received += count;
        // It read ahead, and has nothing left: the socket is asked when poll says so.
        if (this.#isAtSocket && hasPending(this.ssl) === 0) return received;
      } else if (!this.#mayReadOn(count)) {
        // What ended it is told by the next call.
        this.hasMore = received > 0 && this.#end !== undefined;
        return received || (this.#end ?? Moved.NOTHING);
      }
    }
    this.hasMore = true;
    return received || Moved.NOTHING;
  }

  send(address: number, length: number): number {
    const count = this.#calls.write(this.ssl, address, length);
    if (count > 0) return count;
    const error = this.#calls.errorOf(this.ssl, count);
    if (error !== SslError.WANT_WRITE && error !== SslError.WANT_READ) return this.#break();
    // A peer that has begun a message of TLS itself must end it first.
    this.sendEvents = error === SslError.WANT_READ ? POLLIN : POLLOUT;
    return Moved.NOTHING;
  }

  close(): void {
    if (!this.#isBroken) this.#calls.shutdown(this.ssl);
    this.#calls.clearErrors();
    this.#calls.free(this.ssl);
  }

  /** After a read that gave nothing. */
  #mayReadOn(result: number): boolean {
    const error = this.#calls.errorOf(this.ssl, result);
    if (error === SslError.WANT_READ) {
      if (!this.#isAtSocket) return this.#leaveMemory();
      this.receiveEvents = POLLIN;
    } else if (error === SslError.WANT_WRITE) {
      // It has an answer of its own to give, to a key update.
      this.receiveEvents = POLLOUT;
    } else if (error === SslError.ZERO_RETURN) {
      this.#end = Moved.END;
    } else {
      this.#end = this.#break();
    }
    return false;
  }

  /** From what was received before to the socket, once all of it was read. */
  #leaveMemory(): true {
    if (hasInput(this.ssl)) return true;
    this.#calls.setInput(this.ssl, socketBio(this.fd));
    this.#isAtSocket = true;
    return true;
  }

  #break(): typeof Moved.GONE {
    const reason = lastTlsError();
    if (reason !== undefined) this.failure = `TLS failed: ${reason}`;
    this.#isBroken = true;
    return Moved.GONE;
  }
}
