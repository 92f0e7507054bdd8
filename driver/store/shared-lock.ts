/**
 * A lock between threads, for stores whose steps belong together: a write and its entry in a log. It is held for a system
 * call or two. The plain path has none.
 */
const FREE = 0;
const TAKEN = 1;
/** Somebody sleeps for it. */
const CONTENDED = 2;

export class SharedLock {
  constructor(
    private readonly words: Int32Array,
    private readonly index: number,
  ) {}

  run<T>(work: () => T): T {
    this.#take();
    try {
      return work();
    } finally {
      if (Atomics.exchange(this.words, this.index, FREE) === CONTENDED) {
        Atomics.notify(this.words, this.index, 1);
      }
    }
  }

  #take(): void {
    const { words, index } = this;
    if (Atomics.compareExchange(words, index, FREE, TAKEN) === FREE) return;
    while (Atomics.exchange(words, index, CONTENDED) !== FREE) Atomics.wait(words, index, CONTENDED);
  }
}
