import { constants } from 'node:os';
import type { LockOrder } from '../locks/lock-order.js';
import type { StoreDescription } from '../store/description.js';
import { FreezeLog } from './freeze-log.js';
import { FreezeTimes } from './freeze-times.js';
import {
  DeviceState,
  LaneNum,
  LaneWord,
  laneNum,
  laneWord,
  MAX_LANES,
  Num,
  SHARED_BYTES,
  Word,
} from './slots.js';
import { storeBoard } from './store-board.js';

/** The device state that the data path reads. Bytes; `fd` is -1 when there is no backing file. */
export interface QueueState {
  /** One of `DeviceState`. */
  readonly state: number;
  readonly fd: number;
  /** `LoFlag` bits that matter to a request. */
  readonly flags: number;
  readonly blockSize: number;
  readonly dioAlignment: number;
  readonly offset: number;
  readonly size: number;
  readonly generation: number;
  /** Errno by which the file is lost; absent: it is not. */
  readonly lost?: number | undefined;
  /** Absent in the plain case: the file of `fd`. */
  readonly store?: StoreDescription | undefined;
}

/** A frozen queue: no request is in flight and none enters. Thawed by `thaw` or at the end of `await using`. */
export interface Frozen {
  /** Writes what the data path reads. Only possible here, where nobody can see half of it. */
  publish(state: QueueState): void;
  /** Lets requests in again when this was the last freeze. Idempotent. */
  thaw(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

const TWO_MINUTES_MS = 120_000;

/**
 * Control side of a device's request queue: the kernel's blk_mq_freeze_queue over shared memory.
 *
 * The data side (`queue-rq.ts`) counts a request in on its lane, then looks at FREEZE_DEPTH; this side raises
 * FREEZE_DEPTH, then looks at the counts. All of it is sequentially consistent, so one of the two always sees the
 * other: once a lane was seen at 0, every later request on it finds the gate shut and backs out.
 */
export class RequestQueue {
  readonly shared = new SharedArrayBuffer(SHARED_BYTES);
  readonly freezeTimes = new FreezeTimes();
  readonly freezes = new FreezeLog(() => this.#parked());
  readonly #words = new Int32Array(this.shared);
  readonly #nums = new Float64Array(this.shared);
  readonly #order: LockOrder;
  readonly #name: string;
  readonly #onThaw: () => void;

  /** `onThaw` runs after the last thaw: whoever parked requests lets them try again. */
  constructor(options: { order: LockOrder; name: string; onThaw: () => void }) {
    this.#order = options.order;
    this.#name = options.name;
    this.#onThaw = options.onThaw;
    this.#write({
      state: DeviceState.UNBOUND,
      fd: -1,
      flags: 0,
      blockSize: 512,
      dioAlignment: 512,
      offset: 0,
      size: 0,
      generation: 0,
    });
  }

  /** Requests counted in on all lanes, at this moment. */
  get inFlight(): number {
    let sum = 0;
    for (let lane = 0; lane < MAX_LANES; lane++) sum += Atomics.load(this.#words, inFlightOf(lane));
    return sum;
  }

  /** Resolves with the errno by which a thread finds the file lost, or (EIO) doubts it. A wait keeps no process alive. */
  async lost(): Promise<number> {
    for (;;) {
      const errno = Atomics.load(this.#words, Word.LOST);
      if (errno !== 0) return errno;
      const wait = Atomics.waitAsync(this.#words, Word.LOST, 0);
      if (wait.async) await wait.value;
    }
  }

  /** The file was looked at, and is not lost. */
  dispelDoubt(): void {
    Atomics.compareExchange(this.#words, Word.LOST, constants.errno.EIO, 0);
  }

  /** It is, whatever the threads think. */
  condemn(errno: number): void {
    Atomics.store(this.#words, Word.LOST, errno);
    Atomics.notify(this.#words, Word.LOST);
  }

  /** Freezes that have not been thawed. */
  get freezeDepth(): number {
    return Atomics.load(this.#words, Word.FREEZE_DEPTH);
  }

  /**
   * Shuts the gate and waits until no request is in flight. Freezes nest: requests enter again after the last thaw.
   *
   * An aborted wait opens the gate again and rejects with the signal's reason. `onWait` is called, at once, when there
   * are requests to wait for. `rank`: several queues are frozen by one task, in ascending rank.
   */
  async freeze(options: { signal?: AbortSignal; onWait?: () => void; rank?: number } = {}): Promise<Frozen> {
    options.signal?.throwIfAborted();
    const { rank } = options;
    const acquisition = this.#order.acquiring('freeze', this.#name, { below: this.freeze, rank });
    const since = performance.now();
    const record = this.freezes.begin(acquisition.task);
    Atomics.add(this.#words, Word.FREEZE_DEPTH, 1);
    const contended = this.inFlight > 0;
    try {
      if (contended) {
        options.onWait?.();
        await this.#drain(options.signal);
      }
    } catch (error) {
      acquisition.cancelled();
      this.#lower();
      record.ended();
      throw error;
    }
    acquisition.acquired({ contended });
    record.drained();
    return this.#frozen(() => {
      acquisition.released();
      this.#lower();
      this.freezeTimes.record(performance.now() - since);
      record.ended();
    });
  }

  /**
   * The thread of a lane is gone for good, with whatever it had counted in: a freeze waits for it no longer.
   * Its requests must be known to have ended, as they have when their thread has exited.
   */
  abandonLane(lane: number): void {
    Atomics.store(this.#words, inFlightOf(lane), 0);
    Atomics.notify(this.#words, inFlightOf(lane));
  }

  /** The device is being removed: nobody has it open, so no request can read this. */
  markDeleting(): void {
    Atomics.store(this.#words, Word.STATE, DeviceState.DELETING);
  }

  async #drain(signal: AbortSignal | undefined): Promise<void> {
    // A pending Atomics.waitAsync alone does not keep Node alive; a timer does.
    const keepAlive = setInterval(() => {}, TWO_MINUTES_MS);
    const onAbort = (): void => this.#wakeAllLanes();
    signal?.addEventListener('abort', onAbort);
    try {
      for (let lane = 0; lane < MAX_LANES; lane++) {
        // No step of its own for each lane that is empty: that is nearly all of them.
        if (Atomics.load(this.#words, inFlightOf(lane)) > 0) await this.#laneEmpty(lane, signal);
      }
    } finally {
      clearInterval(keepAlive);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** The data side wakes us only when its count reaches 0 behind a shut gate; whatever else wakes us, we look again. */
  async #laneEmpty(lane: number, signal: AbortSignal | undefined): Promise<void> {
    const index = inFlightOf(lane);
    for (;;) {
      signal?.throwIfAborted();
      const count = Atomics.load(this.#words, index);
      if (count === 0) return;
      const wait = Atomics.waitAsync(this.#words, index, count);
      if (wait.async) await wait.value;
    }
  }

  /** Requests that found the queue frozen, on all lanes. */
  #parked(): number {
    let sum = 0;
    for (let lane = 0; lane < MAX_LANES; lane++) sum += this.#nums[laneNum(lane) + LaneNum.PARKED] ?? 0;
    return sum;
  }

  #wakeAllLanes(): void {
    for (let lane = 0; lane < MAX_LANES; lane++) Atomics.notify(this.#words, inFlightOf(lane));
  }

  #frozen(release: () => void): Frozen {
    let thawed = false;
    const thaw = (): void => {
      if (thawed) return;
      thawed = true;
      release();
    };
    return {
      publish: (state) => {
        if (thawed) throw new Error(`${this.#name}: state is published while the queue is not frozen.`);
        this.#write(state);
      },
      thaw,
      [Symbol.asyncDispose]: async () => thaw(),
    };
  }

  #lower(): void {
    if (Atomics.sub(this.#words, Word.FREEZE_DEPTH, 1) === 1) this.#onThaw();
  }

  #write(state: QueueState): void {
    this.#nums[Num.OFFSET] = state.offset;
    this.#nums[Num.SIZE] = state.size;
    Atomics.store(this.#words, Word.FD, state.fd);
    Atomics.store(this.#words, Word.FLAGS, state.flags);
    Atomics.store(this.#words, Word.BLOCK_SIZE, state.blockSize);
    Atomics.store(this.#words, Word.DIO_ALIGN, state.dioAlignment);
    const before = this.#words[Word.STORE] ?? 0;
    Atomics.store(this.#words, Word.STORE, state.store === undefined ? 0 : storeBoard.put(state.store));
    storeBoard.takeDown(before);
    Atomics.store(this.#words, Word.LOST, state.lost ?? 0);
    Atomics.store(this.#words, Word.FILE_GENERATION, state.generation);
    Atomics.store(this.#words, Word.STATE, state.state);
  }
}

const inFlightOf = (lane: number): number => laneWord(lane) + LaneWord.IN_FLIGHT;
