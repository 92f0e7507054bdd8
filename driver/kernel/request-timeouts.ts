/** How often in a row the kernel gave sockets up because requests took longer than the timeout it was given. */
export class RequestTimeouts {
  /** So often what timed out is sent again. */
  static readonly MOST = 3;
  #inRow = 0;
  #last = Number.NEGATIVE_INFINITY;

  /** `timeout`: seconds; 0: none, and nothing is ever too much. `now`: milliseconds, monotonic. */
  constructor(
    readonly timeout: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Sockets were lost: true when what was under way there was sent often enough. Then the count begins anew. */
  areTooMany(): boolean {
    if (this.timeout === 0) return false;
    const elapsed = this.now() - this.#last;
    this.#last = this.now();
    // Each time the kernel looks after the timeout at the earliest, and after twice as long at the latest.
    const isRepeated = elapsed >= this.timeout * 1000 && elapsed < this.timeout * 2000 + SLACK_MS;
    this.#inRow = isRepeated ? this.#inRow + 1 : 0;
    if (this.#inRow < RequestTimeouts.MOST) return false;
    this.#inRow = 0;
    return true;
  }
}

/** For what replacing a socket takes. */
const SLACK_MS = 1000;
