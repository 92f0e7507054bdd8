/** GET /events: device changes as server-sent events. */

import type { ServerResponse } from 'node:http';
import type { ControlledLoops, ControlledRemotes, LoopEventFields } from './context.js';
import { EventResponse } from './event-response.js';
import type { FaultEvent } from './messages.js';
import { watchRemotes } from './remote-routes.js';
import { statusJson } from './status-json.js';

/** A comment this often keeps proxies from closing an idle stream and finds readers that have gone, milliseconds. */
const HEARTBEAT_MS = 15_000;
/** A reader that is this far behind, in bytes, is dropped: events are not worth the daemon's memory. */
const MAX_BACKLOG_BYTES = 1024 * 1024;

/** The open streams of a server; `close` ends them all, for the daemon's drain. */
export class EventStreams {
  readonly #open = new Set<EventResponse>();

  constructor(
    readonly loops: ControlledLoops,
    readonly remotes: ControlledRemotes,
  ) {}

  /** Sends every change from now on to `response`, until its peer goes or `close` is called. */
  add(response: ServerResponse): void {
    const stream = new EventResponse(response, () => {
      clearInterval(heartbeat);
      this.loops.events.off('change', onChange);
      unwatch();
      this.loops.events.off('fault', onFault);
      this.#open.delete(stream);
    });
    stream.write(': subscribed\n\n');
    const send = (text: string): void => {
      stream.write(text);
      if (stream.backlog > MAX_BACKLOG_BYTES) stream.drop();
    };
    const onChange = (event: LoopEventFields): void => send(format(event));
    const onFault = (event: FaultEvent): void => send(formatted(event, event));
    const heartbeat = setInterval(() => send(': alive\n\n'), HEARTBEAT_MS);
    heartbeat.unref();
    this.loops.events.on('change', onChange);
    const unwatch = watchRemotes(this.remotes, (event) =>
      send(`event: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`),
    );
    this.loops.events.on('fault', onFault);
    this.#open.add(stream);
  }

  close(): void {
    for (const stream of this.#open) stream.end();
  }
}

function format(event: LoopEventFields): string {
  return formatted(event, { ...event, status: statusJson(event.status) });
}

const formatted = ({ sequence, kind }: { sequence: number; kind: string }, data: object): string =>
  `id: ${sequence}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
