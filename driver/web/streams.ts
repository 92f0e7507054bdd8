/** GET /api/events: the journal and the samples as server-sent events, each reader at its own pace. */

import type { ServerResponse } from 'node:http';
import { EventResponse } from '../control/event-response.js';
import type { DaemonInfo } from '../control/messages.js';
import type { Journal } from './journal.js';
import type { Hello, Sample } from './live-messages.js';

/** A reader that comes for the first time is told so many of the latest events. */
const LATEST = 300;
/** A browser has six connections to a server; more readers than this are no people. */
const MAX_STREAMS = 64;
/** Milliseconds until a reader that lost us tries again, as an EventSource does. */
const RETRY_MS = 1000;
/** Samples that a reader may be behind in a row: half a minute of them. */
const PATIENCE = 15;

export interface StreamParts {
  readonly journal: Journal;
  /** Every device, as it was last seen. */
  latest(): Sample;
  daemon(): DaemonInfo;
}

interface Stream {
  readonly response: EventResponse;
  /** Of the journal's next event. */
  position: number;
  /** Samples in a row that it was too far behind for. */
  missed: number;
}

export class Streams {
  readonly #open = new Set<Stream>();
  #latest = { position: 0, text: '' };

  constructor(private readonly parts: StreamParts) {}

  get isFull(): boolean {
    return this.#open.size >= MAX_STREAMS;
  }

  /** `lastEventId`: of the last event that the reader has, which may be an earlier daemon's. */
  add(
    response: ServerResponse,
    lastEventId: string | undefined,
    headers: Readonly<Record<string, string>> = {},
  ): void {
    const { journal } = this.parts;
    const over = (): void => {
      unfollow();
      this.#open.delete(stream);
    };
    const stream: Stream = { response: new EventResponse(response, over, headers), position: 0, missed: 0 };
    stream.response.write(`retry: ${RETRY_MS}\n\n`);
    this.#greet(stream, lastEventId);
    const pump = (): void => this.#pump(stream);
    const unfollow = journal.follow(pump);
    stream.response.onDrain(pump);
    this.#open.add(stream);
    pump();
    stream.response.write(format('sample', this.parts.latest()));
  }

  /** To every reader that takes it: who is behind does without, and who stays so is let go, to come back. */
  sample(sample: Sample): void {
    if (this.#open.size === 0) return;
    const text = format('sample', sample);
    for (const stream of this.#open) {
      const { response } = stream;
      if (!response.isBehind) {
        stream.missed = 0;
        response.write(text);
      } else if (++stream.missed >= PATIENCE) response.drop();
    }
  }

  /** Ends them all. */
  close(): void {
    for (const { response } of this.#open) response.end();
  }

  /** A reader that was here goes on where it was; one of another daemon is told all that this one did. */
  #greet(stream: Stream, lastEventId: string | undefined): void {
    const { journal, daemon } = this.parts;
    const known = lastEventId === undefined ? undefined : journal.after(lastEventId);
    const newcomer =
      lastEventId === undefined ? Math.max(journal.start, journal.end - LATEST) : journal.start;
    stream.position = Math.max(known ?? newcomer, journal.start);
    const hello: Hello = {
      epoch: journal.epoch,
      resumed: known !== undefined && known >= journal.start,
      missed: known === undefined ? (lastEventId === undefined ? 0 : null) : stream.position - known,
      daemon: daemon(),
    };
    // With the id of the event before: who is lost before another one comes goes on from here.
    stream.response.write(format('hello', hello, journal.id(stream.position - 1)));
  }

  #pump(stream: Stream): void {
    const { journal } = this.parts;
    const { response } = stream;
    if (stream.position < journal.start) {
      // So far behind that what it should get next is forgotten: it comes back and is told so.
      response.end();
      return;
    }
    while (stream.position < journal.end && !response.isBehind && !response.isOver) {
      response.write(this.#textAt(stream.position));
      stream.position++;
    }
  }

  /** Readers are mostly at the same event: it is written out once for all of them. */
  #textAt(position: number): string {
    const { journal } = this.parts;
    const entry = journal.at(position);
    if (entry === undefined) return '';
    if (this.#latest.position !== position) {
      this.#latest = { position, text: format(entry.type, entry, journal.id(position)) };
    }
    return this.#latest.text;
  }
}

const format = (event: string, data: object, id?: string): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
