/** What happened in a storm, and what should not have. */

/** An operation that takes longer hangs, milliseconds. */
const PATIENCE_MS = 60_000;

export class Tally {
  readonly counts = new Map<string, number>();
  readonly faults: string[] = [];

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** Notes a mistake; the first ones in full. */
  fault(what: string): void {
    this.count('faults');
    if (this.faults.length < 20) this.faults.push(what);
  }

  /** Runs one operation, counts its errno, and notes one that may not be. A hang is one, too. */
  async attempt<T>(name: string, allowed: readonly string[], work: Promise<T>): Promise<T | undefined> {
    const watchdog = new Watchdog(name);
    try {
      const result = await Promise.race([work, watchdog.bark]);
      this.count(name);
      return result;
    } catch (error) {
      const { errno = String(error) } = error as { errno?: string };
      this.count(`${name} ${errno}`);
      if (!allowed.includes(errno)) this.fault(`${name}: ${String(error)}`);
      return undefined;
    } finally {
      watchdog.stop();
    }
  }

  toString(): string {
    return [...this.counts]
      .sort()
      .map(([what, count]) => `${what}: ${count}`)
      .join(', ');
  }
}

/** Rejects when it is not stopped in time. */
class Watchdog {
  #timer: NodeJS.Timeout | undefined;
  readonly bark: Promise<never>;

  constructor(name: string) {
    this.bark = new Promise((_, reject) => {
      this.#timer = setTimeout(() => reject(new Error(`${name} hangs`)), PATIENCE_MS);
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
