/** Two ways of doing a thing: the usual one, and one that must be worth it. */
export const Side = { USUAL: 0, OTHER: 1 } as const;
export type Side = (typeof Side)[keyof typeof Side];

/** Amounts are in the caller's unit: bytes, or requests. */
export interface ComparisonOptions {
  /** Over which the client's pace is measured, each time. */
  readonly lap: number;
  /** Before that, while the client goes through what it was sent the other way. */
  readonly runUp: number;
  /** Before the first comparison; 0 is none. */
  readonly first: number;
  /** The side for that. */
  readonly atFirst: Side;
  /** After which the sides are compared anew. A comparison that changes nothing doubles it. */
  readonly hold: number;
  readonly maxHold: number;
  /** The other side is taken where the client is this many times as fast. */
  readonly faster: number;
}

/** Laps of a comparison, half of them either way; the best of each half counts. */
const LAPS = 6;
/** What two laps show is enough when it is this much. */
const CLEAR = 1.5;
/** A client was idle after as many milliseconds without anything, if that is also ... */
const IDLE = 4;
/** ... as many times its mean gap: that of a slow client, or of an emulated processor, is long between any two requests. */
const GAPS = 32;
/** Of how many gaps the mean is, and what each counts for at most, milliseconds. */
const MEAN_OF = 16;
const LONGEST_GAP = 100;

/**
 * Finds out with which of two ways a client gets on faster, where that depends on what cannot be seen from here: its
 * processor, its memory, how it waits. Its pace can be: it is measured both ways in turns, and again now and then.
 */
export class Comparison {
  #chosen: Side;
  #isOn: boolean;
  /** Of the present comparison, those that are over. */
  #laps = 0;
  /** Milliseconds of the best lap, either way. */
  readonly #best: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  #isRunUp = true;
  /** To the end of the lap, run-up included, or to the next comparison. */
  #left: number;
  #since = 0;
  #last = Number.NEGATIVE_INFINITY;
  #meanGap = 0;
  #hold: number;

  constructor(private readonly options: ComparisonOptions) {
    this.#chosen = options.atFirst;
    this.#isOn = options.first === 0;
    this.#left = options.first || options.runUp + options.lap;
    this.#hold = options.hold;
  }

  /** The side for what comes next. */
  get side(): Side {
    return this.#isOn ? this.#tried : this.#chosen;
  }

  /** So much went, at such a time (milliseconds). */
  went(amount: number, now: number): void {
    if (this.#wasIdle(now) && this.#isOn) this.#begin();
    this.#left -= amount;
    if (this.#isOn && this.#isRunUp && this.#left <= this.options.lap) {
      this.#isRunUp = false;
      this.#left = this.options.lap;
      this.#since = now;
    } else if (this.#left <= 0) {
      if (this.#isOn) this.#endLap(now);
      else this.#begin();
    }
  }

  #wasIdle(now: number): boolean {
    const gap = now - this.#last;
    const wasIdle = gap > Math.max(IDLE, this.#meanGap * GAPS);
    this.#last = now;
    this.#meanGap += (Math.min(gap, LONGEST_GAP) - this.#meanGap) / MEAN_OF;
    return wasIdle;
  }

  get #tried(): Side {
    return this.#laps % 2 === 0 ? Side.USUAL : Side.OTHER;
  }

  #begin(): void {
    this.#isOn = true;
    this.#best.fill(Number.POSITIVE_INFINITY);
    this.#laps = 0;
    this.#beginLap();
  }

  #beginLap(): void {
    this.#isRunUp = true;
    this.#left = this.options.runUp + this.options.lap;
  }

  #endLap(now: number): void {
    const side = this.#tried;
    this.#best[side] = Math.min(this.#best[side], now - this.#since);
    this.#laps++;
    const [usual, other] = this.#best;
    const isClear = usual <= other || usual > other * CLEAR;
    if (this.#laps === LAPS || (isClear && side === Side.OTHER)) this.#choose();
    else this.#beginLap();
  }

  #choose(): void {
    const { faster, hold, maxHold } = this.options;
    const [usual, other] = this.#best;
    const side = usual > other * faster ? Side.OTHER : Side.USUAL;
    this.#hold = side === this.#chosen ? Math.min(maxHold, this.#hold * 2) : hold;
    this.#chosen = side;
    this.#isOn = false;
    this.#left = this.#hold;
  }
}
