/**
 * What happened since the daemon started, in order: a reader that comes back after a break goes on where it was. Ids hold
 * which daemon gave them, since a daemon that was started anew counts from 1 again.
 */

import { randomBytes } from 'node:crypto';
import type { ControlledLoops, ControlledRemotes } from '../control/context.js';
import { watchRemotes } from '../control/remote-routes.js';
import { statusJson } from '../control/status-json.js';
import type { JournalEvent } from './live-messages.js';

/** Older ones are forgotten. With 1000 devices, several changes of each. */
const REMEMBERED = 8192;

export class Journal {
  /** Of this daemon; in every id. */
  readonly epoch = randomBytes(6).toString('hex');
  readonly #entries: JournalEvent[] = [];
  readonly #readers = new Set<() => void>();
  /** Number of the entry that is first in `#entries`, from 1 on. */
  #first = 1;

  constructor(
    loops: Pick<ControlledLoops, 'events'>,
    private readonly limit = REMEMBERED,
  ) {
    loops.events.on('change', (event) =>
      this.#add({ type: 'device', at: Date.now(), event: { ...event, status: statusJson(event.status) } }),
    );
    loops.events.on('fault', (event) => this.#add({ type: 'fault', at: Date.now(), event }));
  }

  /** From here on; returns how to stop. */
  tellOf(remotes: ControlledRemotes): () => void {
    return watchRemotes(remotes, (event) => this.#add({ type: 'remote', at: Date.now(), event }));
  }

  lockReport(message: string): void {
    this.#add({ type: 'lock-report', at: Date.now(), message });
  }

  /** The oldest that is remembered, as a position. */
  get start(): number {
    return this.#first;
  }

  /** Behind the newest one. */
  get end(): number {
    return this.#first + this.#entries.length;
  }

  /** Undefined: not there yet, or forgotten. */
  at(position: number): JournalEvent | undefined {
    return this.#entries[position - this.#first];
  }

  id(position: number): string {
    return `${this.epoch}.${position}`;
  }

  /** The position behind the event of this id. Undefined: it is another daemon's, or none at all. */
  after(id: string): number | undefined {
    const [, epoch, digits] = /^([0-9a-f]{12})\.(\d{1,15})$/.exec(id) ?? [];
    const position = Number(digits);
    return epoch === this.epoch && position < this.end ? position + 1 : undefined;
  }

  /** `onEvent` runs after each new one, until the function that is returned is called. */
  follow(onEvent: () => void): () => void {
    this.#readers.add(onEvent);
    return () => this.#readers.delete(onEvent);
  }

  #add(event: JournalEvent): void {
    this.#entries.push(event);
    // A half at a time: taking the first of many away moves all the others.
    if (this.#entries.length > this.limit * 1.5) {
      this.#first += this.#entries.length - this.limit;
      this.#entries.splice(0, this.#entries.length - this.limit);
    }
    for (const reader of this.#readers) reader();
  }
}
