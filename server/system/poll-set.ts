import { addressOf, poll, ppoll } from './sockets.js';

/** Int32 words of a `struct pollfd`: the descriptor, then events and revents (16 bits each). */
const WORDS = 2;
/** Milliseconds beyond which a pause need not be exact to the microsecond, and what poll(2) can be told. */
const LONG_PAUSE = 900;
const LONGEST_PAUSE = 1e9;

/** An array of `struct pollfd` that grows as needed. */
export class PollSet {
  #words = new Int32Array(64 * WORDS);
  #address = addressOf(this.#words);
  /** A `struct timespec`. */
  readonly #time = new BigInt64Array(2);
  readonly #timeAddress = addressOf(this.#time);

  /** Sets entry `index`; a negative descriptor is not looked at. */
  set(index: number, fd: number, events: number): void {
    if ((index + 1) * WORDS > this.#words.length) this.#grow();
    this.#words[index * WORDS] = fd;
    this.#words[index * WORDS + 1] = events;
  }

  /** Waits for the first `count` entries. `timeout`: milliseconds, -1 for ever. Returns how many are ready. */
  wait(count: number, timeout: number): number {
    return poll(this.#address, count, timeout);
  }

  /** Waits for the first `count` entries, at most so many microseconds. */
  pause(count: number, micros: number): number {
    this.#time[1] = BigInt(Math.ceil(micros * 1000));
    return ppoll(this.#address, count, this.#timeAddress, 0);
  }

  /** As `pause`, of so many milliseconds, which may be any number: it may end earlier when they are many. */
  pauseFor(count: number, milliseconds: number): number {
    if (milliseconds > LONG_PAUSE)
      return poll(this.#address, count, Math.min(milliseconds, LONGEST_PAUSE) | 0);
    return this.pause(count, Math.max(0, milliseconds) * 1000);
  }

  isReady(index: number): boolean {
    return (this.#words[index * WORDS + 1] ?? 0) >>> 16 !== 0;
  }

  #grow(): void {
    const words = new Int32Array(this.#words.length * 2);
    words.set(this.#words);
    this.#words = words;
    this.#address = addressOf(words);
  }
}
