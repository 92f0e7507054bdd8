/** GET /api/events: the journal and the samples as server-sent events, each reader at its own pace. */

import type { ServerResponse } from 'node:http';
import type { DaemonInfo } from '../control/messages.js';
import type { Journal } from './journal.js';
import type { Hello, Sample } from './live-messages.js';

/** A reader that comes for the first time is told so many of the latest events. */
const LATEST = 300;
/** A browser has six connections to a server; more readers than this are no people. */
const MAX_STREAMS = 64;
/** Milliseconds until a reader that lost us tries again, as an EventSource does. */
const RETRY_MS = 1000;

export interface StreamParts {
  readonly journal: Journal;
  /** Every device, as it was last seen. */
  latest(): Sample;
  daemon(): DaemonInfo;
}

interface Stream {
  readonly response: ServerResponse;
  /** Of the journal's next event. */
  position: number;
  end(): void;
}

export class Streams {
  readonly #open = new Set<Stream>();

  constructor(private readonly parts: StreamParts) {}

  get isFull(): boolean {
    return this.#open.size >= MAX_STREAMS;
  }

  /** `lastEventId`: of the last event that the reader has, which may be an earlier daemon's. */
  add(response: ServerResponse, lastEventId: string | undefined): void {
    const { journal } = this.parts;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(`retry: ${RETRY_MS}\n\n`);
    const stream: Stream = { response, position: 0, end: () => response.end() };
    this.#greet(stream, lastEventId);
    const pump = (): void => this.#pump(stream);
    const unfollow = journal.follow(pump);
    response.on('drain', pump);
    this.#open.add(stream);
    response.once('close', () => {
      unfollow();
      this.#open.delete(stream);
    });
    pump();
    send(response, 'sample', this.parts.latest());
  }

  /** To every reader that takes it: who is behind does without. */
  sample(sample: Sample): void {
    if (this.#open.size === 0) return;
    const text = format('sample', sample);
    for (const { response } of this.#open) if (!response.writableNeedDrain) response.write(text);
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
    send(stream.response, 'hello', hello);
  }

  #pump(stream: Stream): void {
    const { journal } = this.parts;
    const { response } = stream;
    if (stream.position < journal.start) {
      // So far behind that what it should get next is forgotten: it comes back and is told so.
      response.end();
      return;
    }
    while (stream.position < journal.end && !response.writableNeedDrain && !response.writableEnded) {
      const entry = journal.at(stream.position);
      if (entry !== undefined) send(response, entry.type, entry, journal.id(stream.position));
      stream.position++;
    }
  }
}

const send = (response: ServerResponse, event: string, data: object, id?: string): boolean =>
  response.write(format(event, data, id));

const format = (event: string, data: object, id?: string): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
