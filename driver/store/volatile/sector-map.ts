/** Which sectors a cache holds: a bit each, in memory that threads share and that costs what was touched of it. */

export const SECTOR = 512;
const WORD_SECTORS = 32;

/** The largest range of a store that a map is made for, bytes: 8 TiB, for which it takes 2 GiB where all of it is written. */
export const MAP_LIMIT = 2 ** 43;

/** Bytes of the map, and of the map of its words, for so many bytes of a store. */
const sizesFor = (bytes: number): readonly [number, number] => {
  const words = Math.ceil(bytes / SECTOR / WORD_SECTORS);
  return [words * 4, Math.ceil(words / WORD_SECTORS) * 4];
};

export const mapMemory = (bytes: number): SharedArrayBuffer => {
  const [map, summary] = sizesFor(bytes);
  return new SharedArrayBuffer(map + summary);
};

/** Sectors. */
export interface Run {
  readonly from: number;
  readonly to: number;
}

export class SectorMap {
  readonly #words: Int32Array;
  /** A bit for each word that may have some set. */
  readonly #summary: Int32Array;

  /** `bytes`: of the store, as the memory was made for. */
  constructor(shared: SharedArrayBuffer, bytes: number) {
    const [map, summary] = sizesFor(bytes);
    this.#words = new Int32Array(shared, 0, map / 4);
    this.#summary = new Int32Array(shared, map, summary / 4);
  }

  /** Sectors that it can tell of. */
  get limit(): number {
    return this.#words.length * WORD_SECTORS;
  }

  has(sector: number): boolean {
    return ((Atomics.load(this.#words, sector >>> 5) >>> (sector & 31)) & 1) === 1;
  }

  set(from: number, to: number): void {
    this.#each(from, to, (word, bits) => {
      Atomics.or(this.#words, word, bits);
      Atomics.or(this.#summary, word >>> 5, 1 << (word & 31));
    });
  }

  clear(from: number, to: number): void {
    this.#each(from, to, (word, bits) => Atomics.and(this.#words, word, ~bits));
  }

  /** Where the run that `from` is in ends, `to` at most: of sectors that are all there, or all not. */
  runEnd(from: number, to: number): number {
    const wanted = this.has(from);
    const full = wanted ? -1 : 0;
    let at = from + 1;
    while (at < to) {
      if ((at & 31) === 0 && at + WORD_SECTORS <= to && Atomics.load(this.#words, at >>> 5) === full) {
        at += WORD_SECTORS;
      } else if (this.has(at) === wanted) at++;
      else break;
    }
    return at;
  }

  /** Every run of sectors that are there. */
  *runs(): Generator<Run, void, undefined> {
    for (let group = 0; group < this.#summary.length; group++) {
      const some = Atomics.load(this.#summary, group);
      if (some === 0) continue;
      for (let bit = 0; bit < WORD_SECTORS; bit++) {
        if (((some >>> bit) & 1) === 1) yield* this.#runsOfWord(group * WORD_SECTORS + bit);
      }
    }
  }

  *#runsOfWord(word: number): Generator<Run, void, undefined> {
    const end = (word + 1) * WORD_SECTORS;
    let at = word * WORD_SECTORS;
    while (at < end) {
      const to = this.runEnd(at, end);
      if (this.has(at)) yield { from: at, to };
      at = to;
    }
  }

  /** Nothing is there. */
  reset(): void {
    for (let group = 0; group < this.#summary.length; group++) {
      const some = Atomics.exchange(this.#summary, group, 0);
      for (let bit = 0; some !== 0 && bit < WORD_SECTORS; bit++) {
        if (((some >>> bit) & 1) === 1) Atomics.store(this.#words, group * WORD_SECTORS + bit, 0);
      }
    }
  }

  #each(from: number, to: number, act: (word: number, bits: number) => void): void {
    for (let at = from; at < to; ) {
      const end = Math.min(to, (at | 31) + 1);
      const count = end - at;
      const bits = count === WORD_SECTORS ? -1 : ((1 << count) - 1) << (at & 31);
      act(at >>> 5, bits);
      at = end;
    }
  }
}
