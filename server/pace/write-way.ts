import { Comparison, Side } from './comparison.js';
import { WAY_OPTIONS, Way } from './read-way.js';

/**
 * How the payload of a long WRITE gets from the socket to the page cache, found out by the pace of the client. Mostly the pipe is faster: it
 * leaves out a copy. But every page, and every piece of a message, is handled on its own there; where memory is fast in
 * comparison with a kernel's work on a page (emulated processors, small segments of a kernel's nbd client), two copies are.
 */
export class WriteWay {
  readonly #comparison = new Comparison(WAY_OPTIONS);

  /** The way for the next one. */
  get next(): Way {
    return this.#comparison.side === Side.OTHER ? Way.COPY : Way.PIPE;
  }

  /** So many bytes were written, at such a time (milliseconds). */
  went(bytes: number, now: number): void {
    this.#comparison.went(bytes, now);
  }
}
