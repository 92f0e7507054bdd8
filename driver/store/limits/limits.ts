/** How much a device may be asked for, and who has to wait for how long. */

/** Requests and bytes a second; null: no limit. */
export interface Limits {
  readonly iops: number | null;
  readonly iopsRead: number | null;
  readonly iopsWrite: number | null;
  readonly bytes: number | null;
  readonly bytesRead: number | null;
  readonly bytesWrite: number | null;
  /** Seconds: what was not used for up to so long may be used at once. */
  readonly burst: number;
  /** The same for the limits of reads, of writes; null: as `burst`. */
  readonly burstRead: number | null;
  readonly burstWrite: number | null;
}

/** What is to change: a number sets, null takes away. */
export type LimitsChange = { readonly [K in keyof Limits]?: number | null | undefined };

export const DEFAULT_BURST_S = 0.1;

const NO_RATES = {
  iops: null,
  iopsRead: null,
  iopsWrite: null,
  bytes: null,
  bytesRead: null,
  bytesWrite: null,
} as const satisfies LimitsChange;

export const NO_LIMITS: Limits = {
  ...NO_RATES,
  burst: DEFAULT_BURST_S,
  burstRead: null,
  burstWrite: null,
};

const RATES = ['iops', 'iopsRead', 'iopsWrite', 'bytes', 'bytesRead', 'bytesWrite'] as const;

/** True when something is limited. */
export const limitsAnything = (limits: Limits): boolean => RATES.some((rate) => limits[rate] !== null);

/** What a device publishes of its limits. */
export interface LimitsDescription extends Limits {
  /** Not the number of any other set of limits: a place in the queue that was had under others is void. */
  readonly id: number;
  /** A bucket each, in the order of `RATES`. */
  readonly shared: SharedArrayBuffer;
}

let lastId = 0;

/** New buckets, all full. On the control side. */
export const publishedLimits = (limits: Limits): LimitsDescription => ({
  ...limits,
  id: ++lastId,
  shared: new SharedArrayBuffer(RATES.length * 8),
});

const SECOND_NS = 1e9;

/** Nanoseconds. */
const timeOf = (cost: number, rate: number): bigint => BigInt(Math.ceil((cost / rate) * SECOND_NS));

/**
 * Buckets that the threads of a device share. Each holds the time, in nanoseconds of CLOCK_MONOTONIC, up to which its rate is spoken
 * for. A request takes its share at once, and waits until no more is spoken for ahead of it than the burst allows: who comes
 * first goes first, and nobody has to look again. A request larger than the burst passes, and those behind it wait longer.
 */
export class LimitBuckets {
  readonly id: number;
  readonly #spoken: BigInt64Array;
  readonly #limits: LimitsDescription;

  constructor(limits: LimitsDescription) {
    this.id = limits.id;
    this.#limits = limits;
    this.#spoken = new BigInt64Array(limits.shared);
  }

  /** Takes a share for one request, and returns how long it has to wait, milliseconds; `now`: of CLOCK_MONOTONIC. */
  take(isRead: boolean, bytes: number, now: bigint): number {
    const limits = this.#limits;
    const all = limits.burst;
    const own = (isRead ? limits.burstRead : limits.burstWrite) ?? all;
    const requests = isRead ? limits.iopsRead : limits.iopsWrite;
    const amount = isRead ? limits.bytesRead : limits.bytesWrite;
    const wait = Math.max(
      this.#share(0, limits.iops, 1, all, now),
      this.#share(isRead ? 1 : 2, requests, 1, own, now),
      this.#share(3, limits.bytes, bytes, all, now),
      this.#share(isRead ? 4 : 5, amount, bytes, own, now),
    );
    return wait / 1e6;
  }

  /** What a request took that is not carried out: those that come have its place. */
  giveBack(isRead: boolean, bytes: number): void {
    const { iops, iopsRead, iopsWrite, bytes: all, bytesRead, bytesWrite } = this.#limits;
    this.#return(0, iops, 1);
    this.#return(isRead ? 1 : 2, isRead ? iopsRead : iopsWrite, 1);
    this.#return(3, all, bytes);
    this.#return(isRead ? 4 : 5, isRead ? bytesRead : bytesWrite, bytes);
  }

  #return(bucket: number, rate: number | null, cost: number): void {
    if (rate !== null) Atomics.sub(this.#spoken, bucket, timeOf(cost, rate));
  }

  /** Nanoseconds to wait. */
  #share(bucket: number, rate: number | null, cost: number, burst: number, now: bigint): number {
    if (rate === null || cost === 0) return 0;
    const time = timeOf(cost, rate);
    for (;;) {
      const spoken = Atomics.load(this.#spoken, bucket);
      const from = spoken > now ? spoken : now;
      if (Atomics.compareExchange(this.#spoken, bucket, spoken, from + time) !== spoken) continue;
      return Math.max(0, Number(from - now) - burst * SECOND_NS);
    }
  }
}
