import { Comparison, type ComparisonOptions, Side } from './comparison.js';

/** How the data of a large request gets from the page cache to the socket, or back. */
export const Way = {
  /** The pages themselves, through a pipe: the cheapest for the server. */
  PIPE: 0,
  /** Through memory of ours. */
  COPY: 1,
} as const;
export type Way = (typeof Way)[keyof typeof Way];

const MIB = 1 << 20;
/** In bytes. Copies cost the server: they must gain more than noise. */
export const WAY_OPTIONS: ComparisonOptions = {
  lap: 24 * MIB,
  runUp: 8 * MIB,
  first: 0,
  atFirst: Side.USUAL,
  hold: 1024 * MIB,
  maxHold: 8192 * MIB,
  faster: 1.15,
};
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
  readonly #comparison = new Comparison(WAY_OPTIONS);
  #requests = 0;

  /** The way for the next one. */
  get next(): Way {
    const mayCopy = this.#requests % SHARED !== 0;
    return mayCopy && this.#comparison.side === Side.OTHER ? Way.COPY : Way.PIPE;
  }

  /** So many bytes went, at such a time (milliseconds). */
  went(bytes: number, now: number): void {
    this.#requests++;
    this.#comparison.went(bytes, now);
  }
}
