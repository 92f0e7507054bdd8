/**
 * The data side of a device's request queue (loop.c's `loop_queue_rq` and `lo_rw_aio`): a Backend over the
 * shared slots. One instance per device and thread; the thread is the only writer of its lane.
 */
import { constants } from 'node:os';
import type { Access, Backend, DataPath, Errno, ZeroMode } from '../../server/backend.js';
import { Aio } from '../io/aio.js';
import { extentAt, isKnownData } from '../io/extents.js';
import * as file from '../io/file-calls.js';
import { flushFile, readDirect, readFully, writeDirect, writeFromPipe, writeFully } from '../io/transfer.js';
import { punchRange, zeroRange } from '../io/zero-range.js';
import { Batch } from './batch.js';
import { DirtyMap } from './dirty-map.js';
import { LaneCounters } from './lane-counters.js';
import { Learned } from './learned.js';
import { Offload, type Range } from './offload.js';
import { DeviceState, DIRTY_OFFSET, LaneNum, LaneWord, LoFlag, laneWord, Num, Word } from './slots.js';

const { EAGAIN, EINTR, EINVAL, EIO, ENOSPC, ENOTSUP, EOPNOTSUPP, EPERM } = constants.errno;

/** Parts a batch may have. */
const BATCH_PARTS = 64;

/** Opens the data path of one thread. */
export function openDataPath(lane: number): DataPath {
  const offload = Offload.open();
  const aio = Aio.open(BATCH_PARTS);
  return {
    attach: (shared) => new LoopBackend(shared, lane, offload, aio && new Batch(aio)),
    completions: offload,
    close: () => aio?.close(),
  };
}

export class LoopBackend implements Backend {
  readonly #words: Int32Array;
  readonly #nums: Float64Array;
  readonly #dirty: DirtyMap;
  readonly #inFlight: number;
  readonly #counters: LaneCounters;
  readonly #learned = new Learned();
  readonly #offload: Offload | undefined;
  readonly #batch: Batch | undefined;

  constructor(shared: SharedArrayBuffer, lane: number, offload?: Offload, batch?: Batch) {
    this.#offload = offload;
    this.#batch = batch;
    this.#words = new Int32Array(shared);
    this.#nums = new Float64Array(shared, 0, DIRTY_OFFSET / 8);
    this.#dirty = new DirtyMap(shared);
    this.#inFlight = laneWord(lane) + LaneWord.IN_FLIGHT;
    this.#counters = new LaneCounters(this.#nums, lane);
  }

  /* The gate: the count goes up before the depth is read, so a freeze that saw a count of 0 sees no one enter. */

  enter(): boolean {
    Atomics.add(this.#words, this.#inFlight, 1);
    if (Atomics.load(this.#words, Word.FREEZE_DEPTH) === 0) return true;
    this.exit();
    this.#counters.add(LaneNum.PARKED, 1);
    return false;
  }

  exit(): void {
    if (Atomics.sub(this.#words, this.#inFlight, 1) !== 1) return;
    if (Atomics.load(this.#words, Word.FREEZE_DEPTH) !== 0) Atomics.notify(this.#words, this.#inFlight);
  }

  admit(access: Access, offset: number, length: number): Errno {
    const errno = this.#refusal(access, offset, length);
    if (errno !== 0) this.#counters.add(LaneNum.ERRORS, 1);
    return errno;
  }

  #refusal(access: Access, offset: number, length: number): Errno {
    if (!this.#isBound()) return EIO;
    const isWrite = access === 'write';
    if (isWrite && (this.#flags() & LoFlag.READ_ONLY) !== 0) return EPERM;
    if (offset + length > this.#num(Num.SIZE)) return isWrite ? ENOSPC : EINVAL;
    return 0;
  }

  read(address: number, offset: number, length: number): Errno {
    const errno = this.look(address, offset, length);
    this.#counters.read(errno === 0 ? length : 0);
    return errno;
  }

  look(address: number, offset: number, length: number): Errno {
    const position = this.#position(offset);
    const errno = this.#isDirect()
      ? readDirect(this.#fd(), address, length, position, this.#alignment())
      : readFully(this.#fd(), address, length, position);
    return this.#counters.failed(errno);
  }

  readNow(address: number, offset: number, length: number): Errno {
    const learned = this.#learn();
    if (this.#offload === undefined || learned.noWait === false) return this.read(address, offset, length);
    const got = file.preadNoWait(this.#fd(), address, length, this.#position(offset));
    learned.noWait = got >= 0 || file.errno() !== EOPNOTSUPP;
    if (got === length) {
      this.#counters.read(length);
      return 0;
    }
    if (got !== 0 && learned.noWait) return EAGAIN; // some of it is not in the page cache
    return this.read(address, offset, length);
  }

  batchRead(address: number, offset: number, length: number): boolean {
    const batch = this.#batch;
    if (batch === undefined || batch.isFull || this.#isDirect()) return false;
    const noWait = this.#offload === undefined ? false : this.#learn().noWait;
    if (noWait === undefined) return false; // `readNow` finds out
    batch.addRead(this.#fd(), this.#position(offset), address, length, noWait);
    return true;
  }

  batchWrite(address: number, offset: number, length: number): boolean {
    const batch = this.#batch;
    if (batch === undefined || batch.isFull || this.#isDirect()) return false;
    this.#dirty.mark(offset, length);
    batch.addWrite(this.#fd(), this.#position(offset), address, length);
    return true;
  }

  runBatch(): boolean {
    const batch = this.#batch;
    if (batch === undefined) return true;
    if (!batch.run()) return false;
    this.#counters.add(LaneNum.READS, batch.reads);
    this.#counters.add(LaneNum.READ_BYTES, batch.readBytes);
    this.#counters.add(LaneNum.WRITES, batch.writes);
    this.#counters.add(LaneNum.WRITTEN_BYTES, batch.writtenBytes);
    return true;
  }

  batchResult(index: number): Errno {
    const batch = this.#batch;
    if (batch === undefined) return EIO;
    const errno = batch.finish(index);
    if (errno === EAGAIN) return errno;
    const moved = errno === 0 ? batch.lengthOf(index) : 0;
    if (batch.isWrite(index)) this.#counters.write(moved);
    else this.#counters.read(moved);
    return this.#counters.failed(errno);
  }

  fillPipe(pipe: number, offset: number, length: number): number {
    if (this.#isDirect() || !this.#learn().splice) return -ENOTSUP;
    const fd = this.#fd();
    const position = this.#position(offset);
    let done = 0;
    while (done < length) {
      const got = file.spliceFromFile(fd, position + done, pipe, length - done);
      if (got > 0) done += got;
      else if (got === 0) break;
      else {
        const errno = file.errno();
        if (errno === EINTR) continue;
        if (errno === EAGAIN) return -ENOTSUP; // the pipe is full: the range crosses more pages than it holds
        if (errno !== EINVAL || done > 0) return -this.#counters.failed(errno);
        this.#learned.splice = false;
        return -ENOTSUP;
      }
    }
    this.#counters.read(length);
    return done;
  }

  write(address: number, offset: number, length: number): Errno {
    this.#dirty.mark(offset, length);
    const position = this.#position(offset);
    const errno = this.#isDirect()
      ? writeDirect(this.#fd(), address, length, position, this.#alignment())
      : writeFully(this.#fd(), address, length, position);
    this.#counters.write(errno === 0 ? length : 0);
    return this.#counters.failed(errno);
  }

  canWriteFromPipe(): boolean {
    return !this.#isDirect() && this.#learn().writeSplice;
  }

  writeFromPipe(pipe: number, offset: number, length: number): Errno {
    if (!this.canWriteFromPipe()) return ENOTSUP;
    this.#dirty.mark(offset, length);
    const errno = writeFromPipe(this.#fd(), pipe, length, this.#position(offset));
    if (errno === ENOTSUP) {
      this.#learned.writeSplice = false;
      return errno;
    }
    this.#counters.write(errno === 0 ? length : 0);
    return this.#counters.failed(errno);
  }

  flush(): Errno {
    this.#counters.add(LaneNum.FLUSHES, 1);
    return this.#counters.failed(this.#isBound() ? flushFile(this.#fd()) : EIO);
  }

  trim(offset: number, length: number): Errno {
    this.#counters.add(LaneNum.TRIMS, 1);
    this.#dirty.mark(offset, length);
    const errno = punchRange(this.#fd(), this.#position(offset), length, this.#learn());
    Atomics.add(this.#words, Word.ZEROED, 1);
    return this.#counters.failed(errno);
  }

  writeZeroes(offset: number, length: number, how: ZeroMode): Errno {
    this.#counters.add(LaneNum.WRITE_ZEROES, 1);
    this.#dirty.mark(offset, length);
    const position = this.#position(offset);
    const errno = zeroRange(this.#fd(), position, length, how, this.#learn());
    Atomics.add(this.#words, Word.ZEROED, 1);
    return this.#counters.failed(errno);
  }

  cache(offset: number, length: number): Errno {
    this.#counters.add(LaneNum.CACHES, 1);
    file.posixFadvise(this.#fd(), this.#position(offset), length, file.POSIX_FADV_WILLNEED);
    return 0;
  }

  queried(): void {
    this.#counters.add(LaneNum.BLOCK_STATUSES, 1);
  }

  extent(offset: number, length: number): number {
    const known = this.#learn().ofData(Atomics.load(this.#words, Word.ZEROED));
    return extentAt(this.#fd(), this.#position(offset), length, known, this.#alignment());
  }

  dirty(offset: number, length: number): number {
    return this.#dirty.run(offset, length);
  }

  isData(offset: number, length: number): boolean {
    return isKnownData(this.#fd(), this.#position(offset), length, this.#learn());
  }

  isDeferred(): boolean {
    return this.#offload !== undefined && this.#isDirect();
  }

  startRead(token: number, address: number, offset: number, length: number): boolean {
    const range = this.#range(offset, length);
    if (this.#offload === undefined || !this.#isAligned(range)) return false;
    this.#counters.read(length);
    this.#offload.read(token, range, address, this.#alignment());
    return true;
  }

  startWrite(token: number, address: number, offset: number, length: number): boolean {
    const range = this.#range(offset, length);
    if (this.#offload === undefined || !this.#isAligned(range)) return false;
    this.#dirty.mark(offset, length);
    this.#counters.write(length);
    this.#offload.write(token, range, address, this.#alignment());
    return true;
  }

  startFlush(token: number): boolean {
    if (this.#offload === undefined || !this.#isBound()) return false;
    this.#counters.add(LaneNum.FLUSHES, 1);
    this.#offload.flush(token, this.#fd());
    return true;
  }

  finished(errno: Errno): void {
    this.#counters.failed(errno);
    this.exit();
  }

  observe(requests: number, microseconds: number): void {
    this.#counters.observe(requests, microseconds);
  }

  #position(offset: number): number {
    return this.#num(Num.OFFSET) + offset;
  }

  #range(offset: number, length: number): Range {
    return { fd: this.#fd(), position: this.#position(offset), length };
  }

  #isAligned({ position, length }: Range): boolean {
    const alignment = this.#alignment();
    return position % alignment === 0 && length % alignment === 0;
  }

  #isBound(): boolean {
    return this.#words[Word.STATE] === DeviceState.BOUND;
  }

  #fd(): number {
    return this.#words[Word.FD] ?? -1;
  }

  #flags(): number {
    return this.#words[Word.FLAGS] ?? 0;
  }

  #isDirect(): boolean {
    return (this.#flags() & LoFlag.DIRECT_IO) !== 0;
  }

  /** Bytes to which direct I/O must be aligned; 1 when it is off. */
  #alignment(): number {
    return this.#isDirect() ? this.#words[Word.DIO_ALIGN] || 4096 : 1;
  }

  #num(slot: number): number {
    return this.#nums[slot] ?? 0;
  }

  #learn(): Learned {
    const tellsHoles = (this.#flags() & LoFlag.TELLS_HOLES) !== 0;
    return this.#learned.of(this.#words[Word.FILE_GENERATION] ?? 0, tellsHoles);
  }
}
