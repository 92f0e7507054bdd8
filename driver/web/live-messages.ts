/** What the page's server tells besides the control API: types only, shared with the page. */

import type {
  CopyAnswer,
  DaemonInfo,
  DeviceEvent,
  FaultEvent,
  LayerAnswer,
  RemoteEvent,
} from '../control/messages.js';

/** With ids: a change of a device, here or of another host, a request that met a fault, or a mistake in the order of locks. */
export type JournalEvent =
  | { readonly type: 'device'; readonly at: number; readonly event: DeviceEvent }
  | { readonly type: 'remote'; readonly at: number; readonly event: RemoteEvent }
  | { readonly type: 'fault'; readonly at: number; readonly event: FaultEvent }
  | { readonly type: 'lock-report'; readonly at: number; readonly message: string };

/** What a device did between two looks, a second; times in microseconds, as the upper end of the histogram's bucket. */
export interface Rates {
  readonly reads: number;
  /** WRITE, TRIM and WRITE_ZEROES. */
  readonly writes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly errors: number;
  /** 0: nothing was answered. */
  readonly p50: number;
  readonly p99: number;
}

/**
 * Slow: a request of a hundred took 65 ms or more. Stalled: requests are in flight, and for two looks in a row none
 * was answered.
 */
export type Trouble = 'slow' | 'stalled';

/** A device at this moment, and since the last look. */
export interface DeviceSample extends Rates {
  readonly number: number;
  readonly openers: number;
  readonly node: string | null;
  readonly inFlight: number;
  readonly isFrozen: boolean;
  /** Freezes since the device was added. */
  readonly freezes: number;
  readonly trouble: Trouble | null;
  /** When that began, milliseconds since 1970; 0 without. */
  readonly since: number;
}

/** `event: sample`: those devices that did something, or are not as they were. */
export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly devices: readonly DeviceSample[];
  readonly daemon: {
    readonly connections: number;
    /** Bytes of memory that the process has. */
    readonly memory: number;
    /** Cores that it used. */
    readonly processors: number;
    /** Part of the time that its main thread was busy, 0 to 1. */
    readonly mainThread: number;
  };
}

/** `event: hello`: the first of a stream. */
export interface Hello {
  /** Stays the same while the daemon lives. */
  readonly epoch: string;
  /** True: what follows goes on where the reader was. False: it has to look at everything anew. */
  readonly resumed: boolean;
  /** Events that were forgotten before the reader came back, or its own daemon's, of which it is not known: null. */
  readonly missed: number | null;
  readonly daemon: DaemonInfo;
}

/** GET /api/devices/N/history: one value a period, the oldest first. */
export interface DeviceHistory {
  /** Milliseconds between two. */
  readonly period: number;
  /** When the last one was taken, milliseconds since 1970. */
  readonly end: number;
  readonly rates: { readonly [field in keyof Rates]: readonly number[] };
  /**
   * A list of the histogram's buckets for each period: bucket i holds requests of less than 2^i microseconds. 0: none;
   * n: about 2^((n - 1) / 8) of them.
   */
  readonly heat: readonly (readonly number[])[];
}

/** GET /api/history: requests a second of each device that did something lately, the oldest first. */
export interface SparkLines {
  readonly period: number;
  readonly end: number;
  readonly devices: Readonly<Record<string, readonly number[]>>;
}

/** GET /api/overlays: the layers of each device that has more than one, from the top to the base. */
export type Overlays = readonly {
  readonly number: number;
  readonly name: string;
  readonly layers: readonly LayerAnswer[];
}[];

/** GET /api/copies: the copy of each device that runs, or ran last. */
export type Copies = readonly { readonly number: number; readonly copy: CopyAnswer }[];
