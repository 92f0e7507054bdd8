/** Looks at every device again and again while the page is served, whether somebody has it open or not. */

import type { ControlContext, ControlledDevice } from '../control/context.js';
import { LaneWord, laneWord, MAX_LANES } from '../queue/slots.js';
import { answered, bucketOf, newCounters, Ring, ratesOf, sumCounters } from './history.js';
import type { DeviceHistory, DeviceSample, Rates, Sample, SparkLines, Trouble } from './live-messages.js';

/** Milliseconds between two looks. */
export const PERIOD_MS = 2000;
/** Ten minutes of looks, and four hours of minutes. */
const TIERS = { fine: { looks: 1, length: 300 }, coarse: { looks: 30, length: 240 } } as const;
export type Tier = keyof typeof TIERS;
/** Looks that a spark line shows. */
const SPARK = 60;
/** From 2^16 microseconds on. */
const SLOW_BUCKET = 17;
/** What was slow is so until it was not for so many looks. */
const CALM_LOOKS = 3;

const NO_RATES: Rates = { reads: 0, writes: 0, readBytes: 0, writtenBytes: 0, errors: 0, p50: 0, p99: 0 };

interface Watched {
  readonly shared: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly numbers: Float64Array;
  readonly before: { readonly [tier in Tier]: Float64Array };
  readonly rings: { readonly [tier in Tier]: Ring };
  readonly troubles: Map<Trouble, { since: number; calm: number; looks: number }>;
  sample: DeviceSample;
}

type SampledContext = Pick<ControlContext, 'loops' | 'attachments' | 'connections'>;

export class Sampler {
  readonly #watched = new Map<number, Watched>();
  readonly #now = newCounters();
  readonly #difference = newCounters();
  #looks = -1;
  #at = Date.now();
  #usage = process.cpuUsage();
  #loop = performance.eventLoopUtilization();
  #timer: NodeJS.Timeout | undefined;
  #daemon: Sample['daemon'] = { connections: 0, memory: 0, processors: 0, mainThread: 0 };

  constructor(private readonly context: SampledContext) {}

  /** `onSample` is called after each look. */
  start(onSample: (sample: Sample) => void): void {
    this.look();
    this.#timer = setInterval(() => onSample(this.look()), PERIOD_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Looks now; tells of those devices that did something since, or are not as they were. */
  look(at = Date.now()): Sample {
    const seconds = Math.max((at - this.#at) / 1000, 0.001);
    this.#at = at;
    this.#looks++;
    this.#daemon = this.#lookAtDaemon(seconds);
    const changed: DeviceSample[] = [];
    const there = new Set<number>();
    for (const device of this.context.loops.devices()) {
      there.add(device.number);
      const watched = this.#watch(device);
      const sample = this.#lookAt(device, watched, seconds);
      if (!isSame(sample, watched.sample)) changed.push(sample);
      watched.sample = sample;
    }
    for (const number of this.#watched.keys()) if (!there.has(number)) this.#watched.delete(number);
    return { at, devices: changed, daemon: this.#daemon };
  }

  /** Every device, as the last look found it. */
  get latest(): Sample {
    return {
      at: this.#at,
      devices: [...this.#watched.values()].map(({ sample }) => sample),
      daemon: this.#daemon,
    };
  }

  /** The last `count` periods, at most all that is remembered. Throws ENODEV. */
  history(number: number, tier: Tier, count: number): DeviceHistory {
    const watched = this.#watch(this.context.loops.device(number));
    const { looks } = TIERS[tier];
    const period = Math.floor((this.#looks + 1) / looks) - 1;
    const end = this.#at - ((this.#looks + 1) % looks) * PERIOD_MS;
    return { period: looks * PERIOD_MS, end, ...watched.rings[tier].read(period, count) };
  }

  sparkLines(): SparkLines {
    const lines = [...this.#watched].flatMap(([number, { rings }]): [string, number[]][] => {
      if (rings.fine.isEmpty) return [];
      const line = rings.fine.requests(this.#looks, SPARK);
      return line.some((value) => value > 0) ? [[String(number), line]] : [];
    });
    return { period: PERIOD_MS, end: this.#at, devices: Object.fromEntries(lines) };
  }

  #watch({ number, queue: { shared } }: ControlledDevice): Watched {
    const known = this.#watched.get(number);
    if (known?.shared === shared) return known;
    const numbers = new Float64Array(shared);
    sumCounters(numbers, this.#now);
    const watched: Watched = {
      shared,
      words: new Int32Array(shared),
      numbers,
      before: { fine: this.#now.slice(), coarse: this.#now.slice() },
      rings: { fine: new Ring(TIERS.fine.length), coarse: new Ring(TIERS.coarse.length) },
      troubles: new Map(),
      sample: {
        ...{ number, openers: 0, node: null, inFlight: 0, isFrozen: false, freezes: 0, ...NO_RATES },
        ...{ trouble: null, since: 0 },
      },
    };
    this.#watched.set(number, watched);
    return watched;
  }

  #lookAt(device: ControlledDevice, watched: Watched, seconds: number): DeviceSample {
    sumCounters(watched.numbers, this.#now);
    const rates = this.#record(watched, 'fine', seconds);
    const inFlight = inFlightOf(watched.words);
    const hasAnswered = rates !== NO_RATES && answered(this.#difference) > 0;
    this.#judge(watched, 'slow', bucketOf(this.#difference, 0.99) >= SLOW_BUCKET);
    this.#judge(watched, 'stalled', inFlight > 0 && !hasAnswered);
    const trouble = troubleOf(watched);
    // Last: it uses the same memory.
    if ((this.#looks + 1) % TIERS.coarse.looks === 0) {
      this.#record(watched, 'coarse', (TIERS.coarse.looks * PERIOD_MS) / 1000);
    }
    const { freezes } = device.queue;
    return {
      number: device.number,
      openers: device.openers,
      node: this.context.attachments.node(device.number),
      inFlight,
      isFrozen: freezes.isFrozen,
      freezes: freezes.count,
      ...rates,
      trouble: trouble?.[0] ?? null,
      since: trouble?.[1].since ?? 0,
    };
  }

  /** Takes what was counted since the last time; leaves the difference. */
  #record({ before, rings }: Watched, tier: Tier, seconds: number): Rates {
    const last = before[tier];
    let isIdle = true;
    for (let at = 0; at < last.length; at++) {
      const difference = Math.max((this.#now[at] ?? 0) - (last[at] ?? 0), 0);
      if (difference !== 0) isIdle = false;
      this.#difference[at] = difference;
      last[at] = this.#now[at] ?? 0;
    }
    const rates = isIdle ? NO_RATES : ratesOf(this.#difference, seconds);
    const period = Math.floor(this.#looks / TIERS[tier].looks);
    rings[tier].put(period, isIdle ? null : rates, this.#difference);
    return rates;
  }

  #judge({ troubles }: Watched, kind: Trouble, isSo: boolean): void {
    const known = troubles.get(kind);
    if (isSo) {
      troubles.set(kind, { since: known?.since ?? this.#at, calm: 0, looks: (known?.looks ?? 0) + 1 });
    } else if (known !== undefined && (kind === 'stalled' || ++known.calm >= CALM_LOOKS)) {
      troubles.delete(kind);
    }
  }

  #lookAtDaemon(seconds: number): Sample['daemon'] {
    const used = process.cpuUsage(this.#usage);
    this.#usage = process.cpuUsage();
    const loop = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(loop, this.#loop);
    this.#loop = loop;
    return {
      connections: this.context.connections().length,
      memory: process.memoryUsage.rss(),
      processors: (used.user + used.system) / 1e6 / seconds,
      mainThread: utilization,
    };
  }
}

function troubleOf({ troubles }: Watched): [Trouble, { since: number }] | undefined {
  const stalled = troubles.get('stalled');
  if (stalled !== undefined && stalled.looks >= 2) return ['stalled', stalled];
  const slow = troubles.get('slow');
  return slow === undefined ? undefined : ['slow', slow];
}

function inFlightOf(words: Int32Array): number {
  let sum = 0;
  for (let lane = 0; lane < MAX_LANES; lane++)
    sum += Atomics.load(words, laneWord(lane) + LaneWord.IN_FLIGHT);
  return sum;
}

function isSame(a: DeviceSample, b: DeviceSample): boolean {
  return (Object.keys(a) as (keyof DeviceSample)[]).every((field) => a[field] === b[field]);
}
