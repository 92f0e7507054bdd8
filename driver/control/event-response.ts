/** A response of server-sent events: open until its peer goes or takes too little, or until we end it. */

import type { ServerResponse } from 'node:http';

/** A peer that has not taken the end of its stream after this time takes nothing any more, milliseconds. */
const END_MS = 1000;

const HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store, no-transform',
  // A proxy that collects an answer before it passes it on (nginx) does not.
  'x-accel-buffering': 'no',
};

export class EventResponse {
  #isOver = false;

  /** `onOver` is called once: nothing more can be sent from then on. */
  constructor(
    private readonly response: ServerResponse,
    private readonly onOver: () => void,
    headers: Readonly<Record<string, string>> = {},
  ) {
    response.writeHead(200, { ...headers, ...HEADERS });
    response.once('close', () => this.#over());
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The peer has not taken what was sent: what can wait waits until `onDrain`. */
  get isBehind(): boolean {
    return this.response.writableNeedDrain;
  }

  /** Bytes that the peer has not taken. */
  get backlog(): number {
    return this.response.writableLength;
  }

  onDrain(listener: () => void): void {
    this.response.on('drain', listener);
  }

  /** Without effect once it is over. */
  write(text: string): void {
    if (!this.#isOver) this.response.write(text);
  }

  /** What was sent still arrives, at a peer that takes it: another would keep the server from closing. */
  end(): void {
    if (this.#isOver) return;
    this.#over();
    this.response.end();
    const late = setTimeout(() => this.response.destroy(), END_MS);
    this.response.once('close', () => clearTimeout(late));
  }

  /** At once, with what was not taken. */
  drop(): void {
    this.#over();
    this.response.destroy();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.onOver();
  }
}
