/**
 * Chance that can be had again: every number follows from a seed, the place in a sequence and what it is for, and from nothing
 * else. Threads that share a sequence draw the same numbers in whatever order they come.
 */

const TWO_TO_32 = 2 ** 32;
/** Seeds are whole numbers below this. */
export const SEED_LIMIT = Number.MAX_SAFE_INTEGER;

/** One round of MurmurHash3 (32 bits). */
function add(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  hash ^= Math.imul(k, 0x1b873593);
  hash = (hash << 13) | (hash >>> 19);
  return (Math.imul(hash, 5) + 0xe6546b64) | 0;
}

/** 32 bits, 0 to 2^32 - 1. `index`: a place in the sequence; `use`: what the number is for. All whole, none negative. */
export function bitsAt(seed: number, index: number, use: number): number {
  let hash = 0x2545f491;
  for (const value of [seed, index, use]) {
    hash = add(hash, (value % TWO_TO_32) | 0);
    hash = add(hash, Math.floor(value / TWO_TO_32) | 0);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash >>> 0;
}

/** At least 0, below 1; each use has two draws of bits behind it. */
export function unitAt(seed: number, index: number, use: number): number {
  const high = bitsAt(seed, index, 2 * use) >>> 5;
  const low = bitsAt(seed, index, 2 * use + 1) >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}

/** A whole number, at least 0 and below `limit`. */
export const wholeAt = (seed: number, index: number, use: number, limit: number): number =>
  Math.floor(unitAt(seed, index, use) * limit);
