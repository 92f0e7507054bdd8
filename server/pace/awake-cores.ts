import { closeSync, openSync, writeSync } from 'node:fs';

/** Microseconds, as it is written: an int32. */
const AT_ONCE = new Int32Array([0]);
/** So many turns one after the other say that more will follow. */
const TURNS = 64;
/** Milliseconds without a turn after which a thread was not busy. */
export const REST = 1;

/**
 * Keeps idle processors awake while a thread serves one busy connection: replies wake its client in no time then, and a
 * disk the thread. Several connections gain nothing: there is always one to serve. The kernel lets processors sleep
 * again when the descriptor is closed, so also when the process dies.
 */
export class AwakeCores {
  #isRefused = false;
  #fd = -1;
  #turns = 0;
  #last = 0;

  /** `file`: while it is open, processors are ready within the microseconds that were written to it. */
  constructor(private readonly file: string) {}

  get areHeld(): boolean {
    return this.#fd >= 0;
  }

  /** A turn is over, at such a time (milliseconds). */
  went(now: number): void {
    if (now - this.#last > REST) this.#turns = 0;
    this.#last = now;
    if (this.#turns < TURNS && ++this.#turns === TURNS) this.#hold();
  }

  release(): void {
    this.#turns = 0;
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  /** Where it is refused after all, it is not asked for again. */
  #hold(): void {
    if (this.#isRefused || this.#fd >= 0) return;
    try {
      this.#fd = openSync(this.file, 'r+');
      writeSync(this.#fd, AT_ONCE);
    } catch {
      this.release();
      this.#isRefused = true;
    }
  }
}
