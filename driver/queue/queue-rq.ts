/**
 * The data side of a device's request queue (loop.c's `loop_queue_rq`): a Backend over the shared slots. It is the
 * gate, admission, the counters and the map of what changed; what is behind them is the device's `Store`. One instance
 * per device and thread; the thread is the only writer of its lane.
 */
import { constants } from 'node:os';
import type { MessagePort } from 'node:worker_threads';
import type {
  Access,
  Backend,
  CarriedOut,
  DataPath,
  Errno,
  WholeRequest,
  ZeroMode,
} from '../../server/backend.js';
import { FileStore, type ZeroedCount } from '../store/file-store.js';
import { openStore } from '../store/open-store.js';
import type { Store } from '../store/store.js';
import { NO_TOOLS, openThreadTools, type ThreadTools } from '../store/thread-tools.js';
import { BatchCounts } from './batch-counts.js';
import { DeviceWords, ESHUTDOWN } from './device-words.js';
import { DirtyMap } from './dirty-map.js';
import { LaneCounters } from './lane-counters.js';
import { LaneNum, LaneWord, LoFlag, laneWord, Word } from './slots.js';
import { type Published, StorePort, storeBoard } from './store-board.js';
import { decisionOf, Watch } from './watch.js';
import { carryOut } from './whole-requests.js';

const { EAGAIN, EIO, ENOTSUP } = constants.errno;

/** Opens the data path of one thread; `port` is its way to the board, without which it is the board's own thread. */
export function openDataPath(lane: number, port?: MessagePort): DataPath {
  const tools = openThreadTools();
  const published = port === undefined ? storeBoard : new StorePort(port);
  return {
    attach: (shared) => new LoopBackend(shared, lane, tools, published),
    completions: tools.offload,
    look: () => published.look(),
    close: () => {
      tools.close();
      port?.close();
    },
  };
}

export class LoopBackend implements Backend {
  readonly #words: Int32Array;
  readonly #device: DeviceWords;
  readonly #dirty: DirtyMap;
  readonly #inFlight: number;
  readonly #counters: LaneCounters;
  readonly #lane: number;
  readonly #tools: ThreadTools;
  readonly #published: Published;
  readonly #zeroed: ZeroedCount;
  readonly #batch = new BatchCounts();
  /** Of `#generation`; asked while a request is counted in, when nothing is published. */
  #store: Store;
  /** The same. */
  #watch: Watch | undefined;
  #generation = 0;

  constructor(
    shared: SharedArrayBuffer,
    lane: number,
    tools: ThreadTools = NO_TOOLS,
    published: Published = storeBoard,
  ) {
    this.#lane = lane;
    this.#tools = tools;
    this.#published = published;
    const words = new Int32Array(shared);
    this.#words = words;
    this.#zeroed = {
      get value() {
        return Atomics.load(words, Word.ZEROED);
      },
      increment: () => Atomics.add(words, Word.ZEROED, 1),
    };
    this.#device = new DeviceWords(shared);
    this.#dirty = new DirtyMap(shared);
    this.#inFlight = laneWord(lane) + LaneWord.IN_FLIGHT;
    this.#counters = new LaneCounters(this.#device.nums, lane);
    this.#store = new FileStore({ fd: -1, alignment: 1, tellsHoles: false }, tools, this.#zeroed);
    if (this.#countIn()) this.exit();
  }

  /* The gate: the count goes up before the depth is read, so a freeze that saw a count of 0 sees no one enter. */

  enter(): boolean {
    if (this.#countIn()) return true;
    this.#counters.add(LaneNum.PARKED, 1);
    return false;
  }

  #countIn(): boolean {
    Atomics.add(this.#words, this.#inFlight, 1);
    if (Atomics.load(this.#words, Word.FREEZE_DEPTH) === 0) {
      if (this.#words[Word.FILE_GENERATION] !== this.#generation) this.#openStore();
      return true;
    }
    this.exit();
    return false;
  }

  exit(): void {
    if (Atomics.sub(this.#words, this.#inFlight, 1) !== 1) return;
    if (Atomics.load(this.#words, Word.FREEZE_DEPTH) !== 0) Atomics.notify(this.#words, this.#inFlight);
  }

  /** Something was published since this thread was here last. Counted in. */
  #openStore(): void {
    this.#generation = this.#words[Word.FILE_GENERATION] ?? 0;
    this.#store.close();
    const id = this.#words[Word.STORE] ?? 0;
    this.#store = id === 0 ? this.#plainStore() : this.#describedStore(id);
    const published = this.#published;
    this.#watch = this.wantsWhole()
      ? new Watch(published.find(id), (bell) => published.ring(bell))
      : undefined;
  }

  #plainStore(): Store {
    const isDirect = (this.#device.flags & LoFlag.DIRECT_IO) !== 0;
    const description = {
      fd: this.#words[Word.FD] ?? -1,
      alignment: isDirect ? this.#words[Word.DIO_ALIGN] || 4096 : 1,
      tellsHoles: (this.#device.flags & LoFlag.TELLS_HOLES) !== 0,
    };
    return new FileStore(description, this.#tools, this.#zeroed);
  }

  #describedStore(id: number): Store {
    const context = { tools: this.#tools, zeroed: this.#zeroed, lane: this.#lane };
    return openStore(this.#published.find(id), context);
  }

  close(): void {
    this.#store.close();
  }

  admit(access: Access, offset: number, length: number): Errno {
    const errno = this.#device.refusal(access, offset, length);
    if (errno !== 0) this.#counters.add(LaneNum.ERRORS, 1);
    return errno;
  }

  read(address: number, offset: number, length: number): Errno {
    const errno = this.look(address, offset, length);
    this.#counters.read(errno === 0 ? length : 0);
    return errno;
  }

  look(address: number, offset: number, length: number): Errno {
    return this.#failed(this.#store.read(address, this.#position(offset), length));
  }

  readNow(address: number, offset: number, length: number): Errno {
    const errno = this.#store.readNow(address, this.#position(offset), length);
    if (errno === EAGAIN) return errno;
    this.#counters.read(errno === 0 ? length : 0);
    return this.#failed(errno);
  }

  batchRead(address: number, offset: number, length: number): boolean {
    if (!this.#store.batchRead(address, this.#position(offset), length)) return false;
    this.#batch.addRead(length);
    return true;
  }

  batchWrite(address: number, offset: number, length: number): boolean {
    this.#dirty.mark(offset, length);
    if (!this.#store.batchWrite(address, this.#position(offset), length)) return false;
    this.#batch.addWrite(length);
    return true;
  }

  runBatch(): boolean {
    const isWhole = this.#store.runBatch();
    if (isWhole) this.#batch.succeeded(this.#counters);
    this.#batch.clear();
    return isWhole;
  }

  batchResult(index: number): Errno {
    const errno = this.#store.batchResult(index);
    if (errno === EAGAIN) return errno;
    const length = this.#batch.part(index);
    if (length < 0) this.#counters.write(errno === 0 ? -length : 0);
    else this.#counters.read(errno === 0 ? length : 0);
    return this.#failed(errno);
  }

  fillPipe(pipe: number, offset: number, length: number): number {
    const moved = this.#store.fillPipe(pipe, this.#position(offset), length);
    if (moved >= 0) this.#counters.read(length);
    else if (moved !== -ENOTSUP) this.#failed(-moved);
    return moved;
  }

  write(address: number, offset: number, length: number): Errno {
    this.#dirty.mark(offset, length);
    const errno = this.#store.write(address, this.#position(offset), length);
    this.#counters.write(errno === 0 ? length : 0);
    return this.#failed(errno);
  }

  canWriteFromPipe(): boolean {
    return this.#store.canWriteFromPipe();
  }

  writeFromPipe(pipe: number, offset: number, length: number): Errno {
    this.#dirty.mark(offset, length);
    const errno = this.#store.writeFromPipe(pipe, this.#position(offset), length);
    if (errno === ENOTSUP) return errno;
    this.#counters.write(errno === 0 ? length : 0);
    return this.#failed(errno);
  }

  flush(): Errno {
    this.#counters.add(LaneNum.FLUSHES, 1);
    if (this.#device.isLost()) return this.#failed(ESHUTDOWN);
    return this.#failed(this.#device.isBound() ? this.#store.flush() : EIO);
  }

  trim(offset: number, length: number): Errno {
    this.#counters.add(LaneNum.TRIMS, 1);
    this.#dirty.mark(offset, length);
    return this.#failed(this.#store.trim(this.#position(offset), length));
  }

  writeZeroes(offset: number, length: number, how: ZeroMode): Errno {
    this.#counters.add(LaneNum.WRITE_ZEROES, 1);
    this.#dirty.mark(offset, length);
    return this.#failed(this.#store.zero(this.#position(offset), length, how));
  }

  cache(offset: number, length: number): Errno {
    this.#counters.add(LaneNum.CACHES, 1);
    this.#store.prefetch(this.#position(offset), length);
    return 0;
  }

  queried(): void {
    this.#counters.add(LaneNum.BLOCK_STATUSES, 1);
  }

  extent(offset: number, length: number): number {
    return this.#store.extent(this.#position(offset), length);
  }

  dirty(offset: number, length: number): number {
    return this.#dirty.run(offset, length);
  }

  held(offset: number, length: number): number {
    return this.#store.held(this.#position(offset), length);
  }

  isData(offset: number, length: number): boolean {
    return this.#store.isData(this.#position(offset), length);
  }

  isDeferred(): boolean {
    return this.#store.isDeferred();
  }

  startRead(token: number, address: number, offset: number, length: number): boolean {
    if (!this.#store.startRead(token, address, this.#position(offset), length)) return false;
    this.#counters.read(length);
    return true;
  }

  startWrite(token: number, address: number, offset: number, length: number): boolean {
    this.#dirty.mark(offset, length);
    if (!this.#store.startWrite(token, address, this.#position(offset), length)) return false;
    this.#counters.write(length);
    return true;
  }

  startFlush(token: number): boolean {
    if (this.#device.isLost() || !this.#device.isBound() || !this.#store.startFlush(token)) return false;
    this.#counters.add(LaneNum.FLUSHES, 1);
    return true;
  }

  startTrim(token: number, offset: number, length: number): number {
    const started = this.#store.startTrim(token, this.#position(offset), length);
    return this.#startedChange(LaneNum.TRIMS, offset, started);
  }

  startZeroes(token: number, offset: number, length: number, how: ZeroMode): number {
    const started = this.#store.startZero(token, this.#position(offset), length, how);
    return this.#startedChange(LaneNum.WRITE_ZEROES, offset, started);
  }

  /** It is marked before it is handed to the kernel, which is later. */
  #startedChange(counter: number, offset: number, started: number): number {
    if (started > 0) {
      this.#counters.add(counter, 1);
      this.#dirty.mark(offset, started);
    }
    return started;
  }

  finished(errno: Errno): Errno {
    const told = this.#failed(errno);
    this.exit();
    return told;
  }

  wantsWhole(): boolean {
    return (this.#device.flags & LoFlag.WATCHED) !== 0;
  }

  mayGoOn(request: WholeRequest): boolean {
    const watch = this.#watch;
    const isNew = request.decision === undefined;
    const now = performance.now();
    const mayGoOn = watch === undefined || watch.mayGoOn(request, now);
    const decision = decisionOf(request);
    if (isNew && decision?.met !== undefined) this.#counters.add(LaneNum.FAULTED, 1);
    if (decision !== undefined && !decision.isCounted && decision.turn > now) {
      decision.isCounted = true;
      this.#counters.add(LaneNum.THROTTLED, 1);
      this.#counters.add(LaneNum.THROTTLED_MS, decision.turn - now);
    }
    return mayGoOn;
  }

  carryOut(request: WholeRequest, token: number): Errno | CarriedOut {
    const start = this.#position(0);
    const size = this.#device.size;
    if (request.operation === 'flush' && !this.#device.isBound()) return this.#counters.failed(EIO);
    const device = { store: this.#store, counters: this.#counters, dirty: this.#dirty, start, size };
    return carryOut(device, request, token);
  }

  forget(request: WholeRequest): void {
    const decision = decisionOf(request);
    if (decision === undefined) return;
    this.#watch?.drop(request, decision);
    decision.forget();
  }

  observe(requests: number, microseconds: number): void {
    this.#counters.observe(requests, microseconds);
  }

  #position(offset: number): number {
    return this.#device.offset + offset;
  }

  /** Counts an error, and looks whether the file proves to be lost. */
  #failed(errno: Errno): Errno {
    return errno === 0 ? 0 : this.#counters.failed(this.#device.failed(errno));
  }
}
