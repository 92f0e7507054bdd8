/** Tells of refused connections: one line a second, however many there are. */

/** `tell`: a reason, and how many were refused since the last line, this one included. */
export class Refusals {
  #untold = 0;
  #last = Number.NEGATIVE_INFINITY;

  /** `now`: milliseconds, monotonic. */
  constructor(
    private readonly tell: (reason: string, count: number) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  add(reason: string): void {
    this.#untold++;
    if (this.now() - this.#last < 1000) return;
    this.#last = this.now();
    this.tell(reason, this.#untold);
    this.#untold = 0;
  }
}
