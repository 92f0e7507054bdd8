/** How the data of a large READ gets from the page cache to the socket. */
export const Way = {
  /** The pages themselves, through a pipe: the cheapest for the server. */
  PIPE: 0,
  /** Through memory of ours. */
  COPY: 1,
} as const;
export type Way = (typeof Way)[keyof typeof Way];

/** Bytes over which the client's pace is measured, each time. */
const LAP = 24 << 20;
/** Bytes before that, in which it goes through what it was sent the other way. */
const RUN_UP = 8 << 20;
/** Laps of a comparison, half of them either way; the best of each half counts. */
const LAPS = 6;
/** Bytes after which ways are compared anew. */
const HOLD = 1024 << 20;
/** At most: a comparison that changes nothing doubles it. */
const MAX_HOLD = 2 ** 33;
/** Milliseconds without a large READ after which a client was idle, or so slow that neither way matters. */
const IDLE = 4;
/** Copies cost the server: they must make the client this many times as fast. */
const FASTER = 1.15;
/** What two laps show is enough when it is this much. */
const CLEAR = 1.5;
/** Of those that may be copied, one of so many goes through the pipe: server and client share the work. */
const SHARED = 4;

/**
 * Finds out which way is the faster one for a client. Mostly that is the pipe: it leaves one copy, the client's. But the
 * kernel copies with `rep movsb` where there is FSRM, and AMD's Zen 3 takes three to four times as long for that if the
 * destination is 1 to 31 bytes behind the source, modulo a page (glibc bug 30994). The page cache's memory begins with a
 * page, and what malloc maps 16 bytes behind one. Two copies of the server and one of the client are faster then. Where
 * the client puts its data cannot be seen from here, its pace can.
 */
export class ReadWay {
  #chosen: Way = Way.PIPE;
  #isComparing = true;
  /** Of the comparison, those that are over. */
  #laps = 0;
  /** Milliseconds of the best lap, either way. */
  readonly #best: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  #isRunUp = true;
  /** Bytes to the end of the lap, run-up included, or to the next comparison. */
  #left = RUN_UP + LAP;
  #since = 0;
  #last = Number.NEGATIVE_INFINITY;
  #hold = HOLD;
  #requests = 0;

  /** The way for the next one. */
  get next(): Way {
    const way = this.#isComparing ? this.#tried : this.#chosen;
    return way === Way.COPY && this.#requests % SHARED !== 0 ? Way.COPY : Way.PIPE;
  }

  /** So many bytes went, at such a time (milliseconds). */
  went(bytes: number, now: number): void {
    if (this.#isComparing && now - this.#last > IDLE) this.#compare();
    this.#last = now;
    this.#requests++;
    this.#left -= bytes;
    if (this.#isRunUp && this.#left <= LAP) {
      this.#isRunUp = false;
      this.#left = LAP;
      this.#since = now;
    } else if (this.#left <= 0) {
      if (this.#isComparing) this.#endLap(now);
      else this.#compare();
    }
  }

  get #tried(): Way {
    return this.#laps % 2 === 0 ? Way.PIPE : Way.COPY;
  }

  #compare(): void {
    this.#isComparing = true;
    this.#best.fill(Number.POSITIVE_INFINITY);
    this.#laps = 0;
    this.#beginLap();
  }

  #beginLap(): void {
    this.#isRunUp = true;
    this.#left = RUN_UP + LAP;
  }

  #endLap(now: number): void {
    const way = this.#tried;
    this.#best[way] = Math.min(this.#best[way], now - this.#since);
    this.#laps++;
    const [pipe, copy] = this.#best;
    const isClear = pipe <= copy || pipe > copy * CLEAR;
    if (this.#laps === LAPS || (isClear && way === Way.COPY)) this.#choose();
    else this.#beginLap();
  }

  #choose(): void {
    const [pipe, copy] = this.#best;
    const way = pipe > copy * FASTER ? Way.COPY : Way.PIPE;
    this.#hold = way === this.#chosen ? Math.min(MAX_HOLD, this.#hold * 2) : HOLD;
    this.#chosen = way;
    this.#isComparing = false;
    this.#left = this.#hold;
  }
}
