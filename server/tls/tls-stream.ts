import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { giveInput, lastTlsError, openssl, SslError, takeOutput } from '../system/openssl.js';
import { addressOf } from '../system/sockets.js';
import type { Proof } from './messages.js';

/** Most that a record holds, bytes. */
const RECORD = 16 << 10;

const record = new Uint8Array(RECORD);
const recordAddress = addressOf(record);

export interface HandedOver {
  /** Its address. */
  readonly ssl: number;
  /** Decrypted, and not read. */
  readonly leftover: Buffer;
}

/**
 * A connection over TLS between its handshake and its hand-over to a reactor, on Node's event loop: what the negotiation speaks on.
 * OpenSSL works in memory here, the socket is Node's. It owns the connection, and frees it when it is destroyed.
 */
export class TlsStream extends Duplex {
  readonly #socket: Socket;
  /** 0: it is somebody else's, or freed. */
  #ssl: number;
  #isWanted = false;
  #hasEnded = false;
  readonly #onReadable = (): void => this.#pump();
  readonly #onEnd = (): void => this.#end();
  readonly #onClose = (): void => void this.destroy();

  constructor(
    socket: Socket,
    ssl: number,
    readonly proof: Proof,
  ) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#socket = socket;
    this.#ssl = ssl;
    socket.on('readable', this.#onReadable);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onClose);
    if (socket.destroyed) this.destroy();
  }

  /**
   * Gives the connection up: what the socket has received so far is in the connection's memory, and nothing is to be sent. The
   * caller frees it, and takes the descriptor in the same turn of the event loop. Undefined where the client is gone, or has
   * not taken what it was sent.
   */
  handOver(): HandedOver | undefined {
    const ssl = this.#ssl;
    if (ssl === 0 || this.#socket.writableLength > 0) return undefined;
    for (;;) {
      const bytes: Buffer | null = this.#socket.read();
      if (bytes === null) break;
      giveInput(ssl, bytes);
    }
    this.#socket.off('readable', this.#onReadable);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onClose);
    this.#ssl = 0;
    const leftover: Buffer | null = this.read();
    return { ssl, leftover: leftover ?? Buffer.alloc(0) };
  }

  override _read(): void {
    this.#isWanted = true;
    this.#pump();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#ssl === 0) {
      done(new Error('the connection is gone'));
      return;
    }
    openssl().clearErrors();
    for (let at = 0; at < bytes.length; ) {
      const written = openssl().write(this.#ssl, addressOf(bytes) + at, bytes.length - at);
      if (written <= 0) {
        done(new Error(lastTlsError() ?? 'TLS takes nothing more'));
        return;
      }
      at += written;
    }
    this.#socket.write(takeOutput(this.#ssl), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#ssl === 0) {
      done();
      return;
    }
    openssl().shutdown(this.#ssl);
    this.#socket.end(takeOutput(this.#ssl), () => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#ssl !== 0) openssl().free(this.#ssl);
    this.#ssl = 0;
    this.#socket.destroy();
    done(error);
  }

  /** Decrypts as long as it is wanted and there is something. */
  #pump(): void {
    while (this.#isWanted && this.#ssl !== 0 && !this.#hasEnded) {
      openssl().clearErrors();
      const count = openssl().read(this.#ssl, recordAddress, RECORD);
      if (count > 0) this.#isWanted = this.push(Buffer.from(record.subarray(0, count)));
      else if (!this.#goOn(count)) break;
    }
    this.#answer();
  }

  /** After a read that gave nothing. False when there is no more to be had now. */
  #goOn(result: number): boolean {
    const error = openssl().errorOf(this.#ssl, result);
    if (error === SslError.WANT_READ) {
      const bytes: Buffer | null = this.#socket.read();
      if (bytes === null) {
        if (this.#socket.readableEnded) this.#end();
        return false;
      }
      giveInput(this.#ssl, bytes);
      return true;
    }
    if (error === SslError.ZERO_RETURN) this.#end();
    else this.destroy(new Error(lastTlsError() ?? 'TLS broke off'));
    return false;
  }

  /** What TLS itself has to say. */
  #answer(): void {
    if (this.#ssl === 0) return;
    const output = takeOutput(this.#ssl);
    if (output.length > 0) this.#socket.write(output);
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.push(null);
  }
}
