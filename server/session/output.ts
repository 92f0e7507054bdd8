import { awayFromPage, type Memory } from '../system/buffers.js';

/** Where an Output's bytes go. One connection at a time. */
export interface Sink {
  /** Takes all of `out`'s bytes, now or by keeping what the peer does not take. False when some were kept. */
  flush(out: Output): boolean;
  /**
   * Sends the magic number that `out` begins with before the rest is there: what is flushed next goes on from it
   * (`goOnFrom`). False when it was not sent. Absent where it would gain nothing.
   */
  sendAhead?(out: Output): boolean;
}

/**
 * Replies under construction, in memory the kernel reads from directly. Filled by a session, emptied by the
 * connection that is being served.
 */
export class Output {
  bytes: Uint8Array;
  view: DataView;
  address: number;
  /** Bytes filled so far. */
  length = 0;
  /** The connection that is being served. */
  #sink: Sink | undefined;
  /** The peer did not take all it was sent: nothing is added before it has. */
  isBlocked = false;
  /** A mistake of ours, in words: none of what is here is sent, and the connection that is being served ends. */
  fault = '';

  readonly #base: Memory;

  /** `capacity`: bytes kept at all times; a larger reply borrows memory of its own size until it is sent. */
  constructor(capacity: number) {
    this.#base = awayFromPage(capacity);
    this.bytes = this.#base.bytes;
    this.view = viewOf(this.bytes);
    this.address = this.#base.address;
  }

  /** True when `count` more bytes have room as it is. */
  fits(count: number): boolean {
    return this.length + count <= this.bytes.length;
  }

  /** Makes room for `count` more bytes. False when the peer must first take what it was sent. */
  room(count: number): boolean {
    if (this.isBlocked) return false;
    return this.fits(count) || this.#makeRoom(count);
  }

  #makeRoom(count: number): boolean {
    if (!this.flush()) return false;
    if (count > this.bytes.length) this.#use(awayFromPage(count));
    return true;
  }

  /** Begins to serve a connection that has taken all it was sent. */
  begin(sink: Sink): void {
    this.#sink = sink;
    this.isBlocked = false;
    this.fault = '';
  }

  /** Something was written that may not be sent. */
  abort(fault: string): void {
    this.fault ||= fault;
    this.isBlocked = true;
  }

  /** Hands everything to the sink; the output is empty after it. False when the peer did not take all. */
  flush(): boolean {
    if (this.fault === '' && this.length > 0 && this.#sink?.flush(this) === false) this.isBlocked = true;
    this.length = 0;
    if (this.bytes.length > this.#base.bytes.length) this.#use(this.#base);
    return !this.isBlocked;
  }

  /** Has the sink send the magic number of the first reply. False when it did not. */
  sendAhead(): boolean {
    return this.fault === '' && this.#sink?.sendAhead?.(this) === true;
  }

  #use({ bytes, address }: Memory): void {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.address = address;
  }
}

const viewOf = ({ buffer, byteOffset, length }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, length);
