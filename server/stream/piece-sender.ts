import type { Duplex } from 'node:stream';

/** Bytes that a stream is given at once: it encrypts them before it sends any, and the peer had better begin early. */
const PIECE_BYTES = 64 << 10;
/** Pieces kept for later; more are left to the garbage collector. */
const KEPT = 64;

/**
 * Memory for what streams are given, used again: what is allocated for each write is paged in for each write, which
 * took a third of the time of large reads.
 */
export class Pieces {
  readonly #idle: Buffer[] = [];

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
  }

  give(piece: Buffer): void {
    if (this.#idle.length < KEPT) this.#idle.push(piece);
  }
}

interface Filled {
  readonly piece: Buffer;
  readonly length: number;
}

/** Gives a stream what is to be sent, a piece at a time. The stream is done with a piece when it says it is written, as TLS is. */
export class PieceSender {
  readonly #pieces: Pieces;
  readonly #stream: Duplex;
  readonly #onTaken: () => void;
  readonly #waiting: Filled[] = [];
  #isBusy = false;
  #isEnding = false;

  /** `onTaken` is called, never from within a method, when all that was sent is taken. */
  constructor(pieces: Pieces, stream: Duplex, onTaken: () => void) {
    this.#pieces = pieces;
    this.#stream = stream;
    this.#onTaken = onTaken;
  }

  /** Copies `bytes`, to be sent behind what was given before. */
  send(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const part = bytes.subarray(at, at + PIECE_BYTES);
      const piece = this.#pieces.take();
      piece.set(part);
      this.#waiting.push({ piece, length: part.length });
    }
    if (!this.#isBusy) this.#sendNext();
  }

  /** Ends the stream when all is taken, and closes it when the peer has been told. */
  end(): void {
    this.#isEnding = true;
    if (!this.#isBusy) this.#finish();
  }

  #sendNext(): void {
    const next = this.#waiting.shift();
    this.#isBusy = next !== undefined;
    if (next !== undefined) this.#write(next);
    else if (this.#isEnding) this.#finish();
    else this.#onTaken();
  }

  #write({ piece, length }: Filled): void {
    this.#stream.write(piece.subarray(0, length), (error) => {
      // Nobody is there to take the others.
      if (error) return;
      this.#pieces.give(piece);
      this.#sendNext();
    });
  }

  #finish(): void {
    this.#stream.end(() => this.#stream.destroy());
  }
}
