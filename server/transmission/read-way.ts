/** How the data of a large READ gets from the page cache to the socket. */
export const Way = {
  /** The pages themselves, through a pipe: the cheapest for the server. */
  PIPE: 0,
  /** Through memory of ours. */
  COPY: 1,
} as const;
export type Way = (typeof Way)[keyof typeof Way];

/** Bytes over which the client's pace is measured, each time. */
const LAP = 16 << 20;
/** Laps of a comparison, half of them either way; the best of each half counts. */
const LAPS = 6;
/** Bytes after which ways are compared anew. */
const HOLD = 256 << 20;
/** At most: a comparison that changes nothing doubles it. */
const MAX_HOLD = 2 ** 33;
/** Milliseconds without a large READ after which a client was idle, or so slow that neither way matters. */
const IDLE = 4;
/** Copies cost the server: they must make the client this many times as fast. */
const FASTER = 1.15;
/** Of those that may be copied, one of so many goes through the pipe: server and client share the work. */
const SHARED = 4;

/**
 * Finds out which way is the faster one for a client. Mostly that is the pipe. But a processor whose kernel copies with
 * `rep movsb` (x86 with FSRM) may take three to four times as long where the destination is 1 to 31 bytes behind the
 * source, modulo a page. A page of the page cache begins with a page; what malloc maps, 16 bytes behind one. The only
 * copy then takes the client longer than two of the server and one of its own do at other distances. Where the client
 * puts its data cannot be seen from here, its pace can.
 */
export class ReadWay {
  #chosen: Way = Way.PIPE;
  /** Laps of the comparison that are over; `LAPS` between comparisons. */
  #laps = 0;
  /** Bytes to the end of the lap, or to the next comparison. */
  #left = LAP;
  #hold = HOLD;
  /** Milliseconds of the best lap, either way. */
  readonly #best: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  #since = 0;
  #last = Number.NEGATIVE_INFINITY;
  #requests = 0;

  /** The way for the next one. */
  get next(): Way {
    const way = this.#laps < LAPS ? this.#tried : this.#chosen;
    return way === Way.COPY && this.#requests % SHARED !== 0 ? Way.COPY : Way.PIPE;
  }

  /** So many bytes went, at such a time (milliseconds). */
  went(bytes: number, now: number): void {
    if (this.#laps < LAPS && now - this.#last > IDLE) this.#compare(now);
    this.#last = now;
    this.#requests++;
    this.#left -= bytes;
    if (this.#left > 0) return;
    if (this.#laps === LAPS) this.#compare(now);
    else this.#endLap(now);
  }

  get #tried(): Way {
    return this.#laps % 2 === 0 ? Way.PIPE : Way.COPY;
  }

  #compare(now: number): void {
    this.#best.fill(Number.POSITIVE_INFINITY);
    this.#laps = 0;
    this.#left = LAP;
    this.#since = now;
  }

  #endLap(now: number): void {
    const way = this.#tried;
    this.#best[way] = Math.min(this.#best[way], now - this.#since);
    this.#laps++;
    this.#left = LAP;
    this.#since = now;
    if (this.#laps === LAPS) this.#choose();
  }

  #choose(): void {
    const [pipe, copy] = this.#best;
    const way = pipe > copy * FASTER ? Way.COPY : Way.PIPE;
    this.#hold = way === this.#chosen ? Math.min(MAX_HOLD, this.#hold * 2) : HOLD;
    this.#chosen = way;
    this.#left = this.#hold;
  }
}
