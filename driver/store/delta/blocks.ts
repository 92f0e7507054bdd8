/** Runs of bits: a bit a block, bit 0 the lowest of word 0. Words are little-endian on disk, as every processor here. */

/** True when the block's bit is set. */
export const isSet = (words: Int32Array, block: number): boolean =>
  (Atomics.load(words, block >>> 5) & (1 << (block & 31))) !== 0;

/** How many blocks from `first` on are as `first` is, up to `end`. */
export function runFrom(words: Int32Array, first: number, end: number): number {
  const same = isSet(words, first) ? -1 : 0;
  let block = first + 1;
  while (block < end) {
    // The bits of this word that differ, from `block` on.
    const differing = (Atomics.load(words, block >>> 5) ^ same) >>> (block & 31);
    if (differing !== 0) {
      block += 31 - Math.clz32(differing & -differing);
      return Math.min(block, end) - first;
    }
    block = (block | 31) + 1;
  }
  return end - first;
}

/** The bits of `word` that stand for blocks from `first` up to `end`, which has some there. */
export function maskOf(word: number, first: number, end: number): number {
  const low = Math.max(first - word * 32, 0);
  const high = Math.min(end - word * 32, 32);
  return (high === 32 ? -1 : (1 << high) - 1) & (-1 << low);
}

/** How many bits are set. */
export function countBits(words: Int32Array, blocks: number): number {
  let count = 0;
  for (let word = 0; word * 32 < blocks; word++) {
    let bits = (words[word] ?? 0) & maskOf(word, 0, blocks);
    bits -= (bits >>> 1) & 0x5555_5555;
    bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
    count += Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
  }
  return count;
}
