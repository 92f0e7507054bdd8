import type { Tally } from './tally.js';

/** Counts opens that met a clr_fd of the same device, and which of the two came first. */
export class Races {
  /** Clears under way, and clears so far, of each device. */
  readonly #underWay = new Map<number, number>();
  readonly #begun = new Map<number, number>();

  constructor(private readonly tally: Tally) {}

  async clear<T>(device: number, work: Promise<T>): Promise<T> {
    this.#add(this.#begun, device, 1);
    this.#add(this.#underWay, device, 1);
    try {
      return await work;
    } finally {
      this.#add(this.#underWay, device, -1);
    }
  }

  /** An open begins. Ask the result when it is done: did a clear run meanwhile? */
  watch(device: number): () => boolean {
    const begun = this.#begun.get(device) ?? 0;
    const isUnderWay = (this.#underWay.get(device) ?? 0) > 0;
    return () => isUnderWay || (this.#begun.get(device) ?? 0) > begun;
  }

  /** What the first request of a session says that was opened beside a clear. */
  decided(isBound: boolean): void {
    this.tally.count(
      isBound ? 'race of open and clear: the open was first' : 'race of open and clear: the clear was first',
    );
  }

  #add(counts: Map<number, number>, device: number, count: number): void {
    counts.set(device, (counts.get(device) ?? 0) + count);
  }
}
