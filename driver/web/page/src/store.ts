/** What the page knows: the devices, what they do, and what happened; kept up to date by the daemon's events. */

import { useEffect, useReducer } from 'preact/hooks';
import type {
  DaemonInfo,
  DeviceEvent,
  DeviceStatus,
  RemoteStatus,
  UnrecoveredDevice,
} from '../../../control/messages.js';
import type { DeviceSample, Hello, JournalEvent, Sample, SparkLines } from '../../live-messages.js';
import { get, Refusal } from './api.js';
import { EventStream } from './stream.js';

/** Values of a spark line, and of the daemon's own lines. */
export const SPARK = 60;
const OVERALL = 300;
/** Events that the page keeps. */
const EVENTS = 2000;

export interface PageEvent {
  /** The daemon's, or one of the page's own. */
  readonly id: string;
  readonly at: number;
  readonly event: JournalEvent | { readonly type: 'note'; readonly message: string };
}

/** All devices together, and the daemon itself. */
export interface Overall {
  readonly at: number;
  readonly reads: number;
  readonly writes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly memory: number;
  readonly mainThread: number;
}

export type Connection = 'starting' | 'live' | 'lost' | 'locked';

class Store {
  connection: Connection = 'starting';
  /** Why there is no connection, where the daemon said so. */
  reason: string | undefined;
  /** When the daemon was last heard of, milliseconds since 1970; 0: not yet. */
  heard = 0;
  /** Every device was asked for, and what happened since is in it. */
  isComplete = false;
  daemon: DaemonInfo | undefined;
  readonly devices = new Map<number, DeviceStatus>();
  readonly samples = new Map<number, DeviceSample>();
  readonly sparks = new Map<number, number[]>();
  /** Devices of other hosts. */
  readonly remotes = new Map<number, RemoteStatus>();
  unrecovered: readonly UnrecoveredDevice[] = [];
  /** The latest last. */
  events: PageEvent[] = [];
  overall: Overall[] = [];
  sample: Sample | undefined;
  /** Counts changes. */
  version = 0;
  /** Counts looks at everything, so that a view that has looked at more does so again. */
  resyncs = 0;
  /** Counts what was done from here, so that a view looks at once at what became of it. */
  actions = 0;
  readonly #listeners = new Set<() => void>();
  readonly #stream = new EventStream({
    onHello: (hello) => this.#hello(hello),
    onEvent: (event, id) => this.#event(event, id),
    onSample: (sample) => this.#sample(sample),
    onState: (state, reason) => {
      this.connection = state;
      this.reason = reason;
      this.#changed();
    },
  });
  #epoch = '';
  /** Events that came while everything is asked for: applied to what is answered. */
  #waiting: JournalEvent[] | undefined;
  #isPainted = false;

  start(): void {
    this.connection = 'starting';
    this.#stream.start();
    this.#changed();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks at everything anew: after an action, whose answer is a device's new state. */
  put(device: DeviceStatus): void {
    this.devices.set(device.number, device);
    this.#changed();
  }

  /** Null: it is gone. */
  putRemote(number: number, remote: RemoteStatus | null): void {
    if (remote === null) this.remotes.delete(number);
    else this.remotes.set(number, remote);
    this.#changed();
  }

  acted(): void {
    this.actions++;
    this.#changed();
  }

  note(message: string): void {
    this.#push({ id: `page.${performance.now()}`, at: Date.now(), event: { type: 'note', message } });
  }

  #hello({ epoch, resumed, missed, daemon }: Hello): void {
    if (this.#epoch !== '' && epoch !== this.#epoch) this.note(`Another daemon: process ${daemon.pid}.`);
    else if (missed !== null && missed > 0) this.note(`${missed} events are forgotten by the daemon.`);
    this.#epoch = epoch;
    this.daemon = daemon;
    if (!resumed || !this.isComplete) void this.#lookAtAll();
    this.#changed();
  }

  async #lookAtAll(): Promise<void> {
    const waiting: JournalEvent[] = [];
    this.#waiting = waiting;
    this.isComplete = false;
    try {
      const [devices, lines, unrecovered, remotes] = await Promise.all([
        get<DeviceStatus[]>('/devices'),
        get<SparkLines>('/history'),
        get<UnrecoveredDevice[]>('/devices/unrecovered'),
        get<RemoteStatus[]>('/remotes'),
      ]);
      // Another look began meanwhile, and has what came since.
      if (this.#waiting !== waiting) return;
      this.devices.clear();
      for (const device of devices) this.devices.set(device.number, device);
      for (const number of this.samples.keys()) if (!this.devices.has(number)) this.samples.delete(number);
      this.sparks.clear();
      for (const [number, line] of Object.entries(lines.devices))
        this.sparks.set(Number(number), padded(line));
      this.unrecovered = unrecovered;
      this.remotes.clear();
      for (const remote of remotes) this.remotes.set(remote.number, remote);
      this.isComplete = true;
    } catch (error) {
      // The next sample brings us here again, or, of a daemon that is gone, the next hello.
      if (!(error instanceof Refusal)) throw error;
      if (this.#waiting !== waiting) return;
    }
    this.#waiting = undefined;
    for (const event of waiting) this.#apply(event);
    this.resyncs++;
    this.#changed();
  }

  #event(event: JournalEvent, id: string): void {
    this.#push({ id, at: event.at, event });
    if (this.#waiting === undefined) this.#apply(event);
    else this.#waiting.push(event);
    this.#changed();
  }

  #apply(event: JournalEvent): void {
    if (event.type === 'remote') this.putRemote(event.event.device, event.event.remote);
    if (event.type === 'device') this.#applyToDevice(event.event);
  }

  #applyToDevice({ kind, device, status }: DeviceEvent): void {
    if (kind === 'remove') {
      for (const map of [this.devices, this.samples, this.sparks]) map.delete(device);
      return;
    }
    const known = this.devices.get(device);
    // What an event does not tell of is as it was; of a device that is new it is asked.
    if (known === undefined) void this.#lookAt(device);
    else this.devices.set(device, { ...known, ...status });
    if (kind === 'bind') this.unrecovered = this.unrecovered.filter(({ number }) => number !== device);
  }

  async #lookAt(number: number): Promise<void> {
    try {
      this.put(await get<DeviceStatus>(`/devices/${number}`));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }

  #sample(sample: Sample): void {
    this.sample = sample;
    this.heard = Date.now();
    if (!this.isComplete && this.#waiting === undefined) void this.#lookAtAll();
    for (const device of sample.devices) this.samples.set(device.number, device);
    const total = { reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 };
    for (const [number, device] of this.samples) {
      total.reads += device.reads;
      total.writes += device.writes;
      total.readBytes += device.readBytes;
      total.writtenBytes += device.writtenBytes;
      const line = this.sparks.get(number);
      const value = device.reads + device.writes;
      if (line !== undefined) {
        line.push(value);
        if (line.length > SPARK) line.shift();
      } else if (value > 0) this.sparks.set(number, [...new Array<number>(SPARK - 1).fill(0), value]);
    }
    const { memory, mainThread } = sample.daemon;
    this.overall = [...this.overall, { at: sample.at, ...total, memory, mainThread }].slice(-OVERALL);
    this.#changed();
  }

  #push(event: PageEvent): void {
    this.events.push(event);
    if (this.events.length > EVENTS * 1.2) this.events = this.events.slice(-EVENTS);
    this.#changed();
  }

  /** Once a frame, however much comes at a time. */
  #changed(): void {
    this.version++;
    if (this.#isPainted) return;
    this.#isPainted = true;
    setTimeout(() => {
      this.#isPainted = false;
      for (const listener of this.#listeners) listener();
    }, 16);
  }
}

/** A line that has not been there for long begins with nothing. */
const padded = (line: readonly number[]): number[] => [
  ...new Array<number>(Math.max(SPARK - line.length, 0)).fill(0),
  ...line,
];

export const store = new Store();

/** Renders the component again when something has changed. */
export function useStore(): Store {
  const [, render] = useReducer((times: number) => times + 1, 0);
  const seen = store.version;
  useEffect(() => {
    // What came between the first rendering and now was told to nobody here.
    if (store.version !== seen) render(undefined);
    return store.subscribe(() => render(undefined));
  }, []);
  return store;
}
