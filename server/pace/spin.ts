/**
 * How long a reactor looks again before it sleeps in poll, in the manner of KVM's halt polling: a short sleep says
 * that a little more patience would have saved a wake-up, a long one that patience is wasted. An idle thread
 * soon does not spin at all.
 */
export class Spin {
  /** Microseconds; 0 is not at all. */
  #micros = 0;

  constructor(
    /** Microseconds it may grow to. */
    readonly most: number,
  ) {}

  get milliseconds(): number {
    return this.#micros / 1000;
  }

  /** The thread slept this long before there was work. */
  slept(milliseconds: number): void {
    if (milliseconds * 1000 < 2 * this.most) {
      this.#micros = Math.min(this.most, Math.max(FIRST, this.#micros * 2));
    } else {
      this.#micros = this.#micros > FIRST ? this.#micros / 2 : 0;
    }
  }
}

/** Microseconds to start with. */
const FIRST = 10;
