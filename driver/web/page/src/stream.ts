/** The events of the daemon, over any number of connections: each one goes on where the one before ended. */

import type { Hello, JournalEvent, Sample } from '../../live-messages.js';
import { authorization, refusalOf } from './api.js';

export interface StreamListener {
  onHello(hello: Hello): void;
  onEvent(event: JournalEvent, id: string): void;
  onSample(sample: Sample): void;
  /** 'locked': the daemon does not take the token. `reason`: its sentence, where it said one. */
  onState(state: 'live' | 'lost' | 'locked', reason?: string): void;
}

/** Milliseconds until a connection that was lost is made again, and the longest of these. */
const RETRY_MS = 500;
const MAX_RETRY_MS = 4000;
/** A daemon says something every two seconds: one that says nothing for so long is gone, milliseconds. */
const SILENCE_MS = 10_000;

/** How a connection went. */
type Outcome = 'locked' | 'ended' | 'failed' | { readonly refused: string };

export class EventStream {
  #lastId: string | undefined;
  #running: AbortController | undefined;

  constructor(private readonly listener: StreamListener) {}

  /** Runs until the token is refused; then, or to begin anew, it may be called again. */
  start(): void {
    this.#running?.abort();
    const controller = new AbortController();
    this.#running = controller;
    void this.#run(controller.signal);
  }

  async #run(stopped: AbortSignal): Promise<void> {
    let wait = RETRY_MS;
    while (!stopped.aborted) {
      const outcome = await this.#connect(stopped);
      if (stopped.aborted) return;
      if (outcome === 'locked') {
        this.listener.onState('locked');
        return;
      }
      this.listener.onState('lost', typeof outcome === 'object' ? outcome.refused : undefined);
      if (outcome === 'ended') wait = RETRY_MS;
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(wait * 2, MAX_RETRY_MS);
    }
  }

  async #connect(stopped: AbortSignal): Promise<Outcome> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    let outcome: 'ended' | 'failed' = 'failed';
    try {
      const response = await fetch('/api/events', {
        headers: { ...authorization(), ...(this.#lastId !== undefined && { 'last-event-id': this.#lastId }) },
        signal: AbortSignal.any([stopped, silence.signal]),
      });
      if (response.status === 401) return 'locked';
      if (!response.ok) return { refused: refusalOf(response.status, await response.text()).message };
      if (response.body === null) return 'failed';
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return outcome;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        outcome = 'ended';
        const blocks = (rest + value).split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) this.#take(block);
      }
    } catch {
      return outcome;
    } finally {
      clearTimeout(timer);
    }
  }

  #take(block: string): void {
    const fields = new Map(
      block.split('\n').map((line): [string, string] => {
        const colon = line.indexOf(': ');
        return [line.slice(0, colon), line.slice(colon + 2)];
      }),
    );
    const data = fields.get('data');
    if (data === undefined) return;
    const value: unknown = JSON.parse(data);
    const id = fields.get('id') ?? '';
    switch (fields.get('event')) {
      case 'hello':
        this.listener.onState('live');
        this.listener.onHello(value as Hello);
        this.#lastId = id;
        return;
      case 'sample':
        this.listener.onSample(value as Sample);
        return;
      default:
        this.listener.onEvent(value as JournalEvent, id);
        this.#lastId = id;
    }
  }
}
