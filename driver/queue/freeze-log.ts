/** How many freezes of a device are remembered, those that hold it now not counted. */
const REMEMBERED = 64;

/** A freeze of a device's queue: who wanted it, and whom it held. */
export interface Freeze {
  /** Counts the device's freezes from 1 on. */
  readonly number: number;
  /** When the gate was shut, milliseconds since 1970. */
  readonly at: number;
  /** The task that froze it, e.g. `loopSetDio loop0 (#12)`. */
  readonly by: string;
  /** Milliseconds until the requests in flight had ended; null: they have not. */
  readonly drained: number | null;
  /** Milliseconds from the gate's shutting to the thaw, which is the longest that a request waited; null: frozen still. */
  readonly held: number | null;
  /** Requests that came meanwhile, and waited. */
  readonly waited: number;
}

/** A freeze that is on. */
export interface FreezeRecord {
  drained(): void;
  /** The queue is thawed, or the freeze was given up. */
  ended(): void;
}

interface Entry {
  readonly number: number;
  readonly at: number;
  readonly since: number;
  readonly by: string;
  readonly parkedBefore: number;
  drained: number | null;
  held: number | null;
  waited: number;
}

/** The latest freezes of a queue. `parked` counts the requests that found it frozen, since it was made. */
export class FreezeLog {
  readonly #latest: Entry[] = [];
  readonly #on = new Set<Entry>();
  #count = 0;
  #seconds = 0;

  constructor(private readonly parked: () => number) {}

  /** Freezes since the queue was made. */
  get count(): number {
    return this.#count;
  }

  /** Seconds that those took which are over, since the queue was made. */
  get seconds(): number {
    return this.#seconds;
  }

  /** True while a freeze is on. */
  get isFrozen(): boolean {
    return this.#on.size > 0;
  }

  begin(by: string): FreezeRecord {
    const entry: Entry = {
      number: ++this.#count,
      at: Date.now(),
      since: performance.now(),
      by,
      parkedBefore: this.parked(),
      drained: null,
      held: null,
      waited: 0,
    };
    this.#on.add(entry);
    return {
      drained: () => {
        entry.drained = performance.now() - entry.since;
      },
      ended: () => this.#end(entry),
    };
  }

  /** The latest first. */
  list(): Freeze[] {
    return [...this.#latest, ...this.#on]
      .sort((a, b) => b.number - a.number)
      .map(({ since: _since, parkedBefore, waited, ...entry }) => ({
        ...entry,
        waited: entry.held === null ? this.parked() - parkedBefore : waited,
      }));
  }

  #end(entry: Entry): void {
    if (!this.#on.delete(entry)) return;
    entry.held = performance.now() - entry.since;
    entry.waited = this.parked() - entry.parkedBefore;
    this.#seconds += entry.held / 1000;
    this.#latest.push(entry);
    if (this.#latest.length > REMEMBERED) this.#latest.shift();
  }
}
