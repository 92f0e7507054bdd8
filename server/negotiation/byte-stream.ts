/** Exact reads and acknowledged writes on a Duplex, for a protocol that is one question and one answer at a time. */

import type { Duplex } from 'node:stream';

/**
 * Reads what is asked for and no more, so that the stream's own high-water mark bounds what a client can have
 * received ahead; a write waits until it left the process, so that a client that does not read is not answered
 * without end. What cannot come or leave any more resolves to undefined or false; nothing rejects.
 */
export class ByteStream {
  #ended = false;
  #broken = false;
  #wake: () => void = () => {};
  readonly #onReadable = (): void => this.#wake();
  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#wake();
  };
  readonly #onBreak = (): void => {
    this.#broken = true;
    this.#wake();
  };

  constructor(
    private readonly stream: Duplex,
    private readonly signal: AbortSignal,
  ) {
    stream.on('readable', this.#onReadable);
    stream.on('end', this.#onEnd);
    for (const event of ['close', 'error']) stream.on(event, this.#onBreak);
    signal.addEventListener('abort', this.#onBreak);
    this.#broken = signal.aborted || stream.destroyed;
    this.#ended = stream.readableEnded;
  }

  /** The stream closed or failed, or the signal fired. A peer that only ended its side can still be answered. */
  get broken(): boolean {
    return this.#broken;
  }

  /** Exactly `length` bytes, or undefined when they will not come. */
  async take(length: number): Promise<Buffer | undefined> {
    if (length === 0) return Buffer.alloc(0);
    while (!this.#ended && !this.#broken) {
      const bytes: Buffer | null = this.stream.read(length);
      // At the end of the stream `read` gives what is left, however short.
      if (bytes !== null) return bytes.length === length ? bytes : undefined;
      await this.#readable();
    }
    return undefined;
  }

  /** Reads `length` bytes and forgets them, holding one piece at a time. */
  async skip(length: number): Promise<boolean> {
    for (let left = length; left > 0; ) {
      const available = Math.min(left, Math.max(1, this.stream.readableLength));
      const bytes = await this.take(available);
      if (bytes === undefined) return false;
      left -= bytes.length;
    }
    return true;
  }

  /** Resolves true once the bytes were handed to the system. */
  write(bytes: Buffer): Promise<boolean> {
    if (this.#broken) return Promise.resolve(false);
    return new Promise((resolve) => {
      const onAbort = (): void => resolve(false);
      this.signal.addEventListener('abort', onAbort);
      this.stream.write(bytes, (error) => {
        this.signal.removeEventListener('abort', onAbort);
        resolve(!error);
      });
    });
  }

  /** What was received and not taken. */
  rest(): Buffer {
    const bytes: Buffer | null = this.stream.read();
    return bytes ?? Buffer.alloc(0);
  }

  /** The stream is the caller's again. */
  detach(): void {
    this.stream.off('readable', this.#onReadable);
    this.stream.off('end', this.#onEnd);
    for (const event of ['close', 'error']) this.stream.off(event, this.#onBreak);
    this.signal.removeEventListener('abort', this.#onBreak);
  }

  #readable(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
