/** A Backend over a buffer, with holes; it throws where a session breaks the contract of `server/backend.ts`. */
import { constants } from 'node:os';
import { addressOf, memcpy, memset } from '../../driver/io/file-calls.js';
import type { Access, Backend, Errno, ZeroMode } from '../../server/backend.js';

const { EINVAL, EIO, ENOSPC, ENOTSUP, EPERM } = constants.errno;

/** Holes are whole pages, as most file systems have them. */
export const PAGE = 4096;

export class MemoryBackend implements Backend {
  isBound = true;
  isFrozen = false;
  readOnly = false;
  /** Present size of the device, bytes. */
  size: number;
  /** Bytes the file has; what lies past them reads as zeroes. */
  fileSize: number;
  /** Calls so far, e.g. 'write 0 4096'. */
  readonly log: string[] = [];
  /** What is in the pipes, by descriptor of the end that is written. */
  readonly pipes = new Map<number, Buffer>();
  readonly content: Buffer;
  readonly #isHole: boolean[];
  readonly #address: number;
  #inside = 0;

  /** All of it is a hole. */
  constructor(size: number) {
    this.size = size;
    this.fileSize = size;
    this.content = Buffer.from(new ArrayBuffer(size));
    this.#address = addressOf(this.content);
    this.#isHole = Array.from({ length: Math.ceil(size / PAGE) }, () => true);
  }

  /** Puts bytes there as if they had been written long ago. */
  fill(offset: number, bytes: Uint8Array): void {
    this.content.set(bytes, offset);
    this.#mark(offset, bytes.length, false);
  }

  /** Requests that are counted in. */
  get inFlight(): number {
    return this.#inside;
  }

  /** Flushes so far. */
  get flushes(): number {
    return this.log.filter((call) => call === 'flush').length;
  }

  enter(): boolean {
    if (this.isFrozen) return false;
    this.#inside++;
    return true;
  }

  exit(): void {
    this.#expectInside();
    this.#inside--;
  }

  admit(access: Access, offset: number, length: number): Errno {
    this.#expectInside();
    if (!this.isBound) return EIO;
    if (access === 'write' && this.readOnly) return EPERM;
    if (offset + length > this.size) return access === 'write' ? ENOSPC : EINVAL;
    return 0;
  }

  read(address: number, offset: number, length: number): Errno {
    this.#note('read', offset, length);
    const there = Math.max(0, Math.min(length, this.fileSize - offset));
    if (there > 0) memcpy(address, this.#address + offset, there);
    if (there < length) memset(address + there, 0, length - there);
    return 0;
  }

  look(address: number, offset: number, length: number): Errno {
    return this.read(address, offset, length);
  }

  /** Parts of a batch by index that come back undone, e.g. after a short read; what they then come to. */
  readonly undone = new Map<number, Errno>();
  /** Parts a batch may have; 0: everything is done by itself. */
  batchLimit = 0;
  #batch: (() => Errno)[] = [];

  batchRead(address: number, offset: number, length: number): boolean {
    this.#expectRange(offset, length);
    return this.#addToBatch(() => this.read(address, offset, length));
  }

  batchWrite(address: number, offset: number, length: number): boolean {
    this.#expectRange(offset, length);
    return this.#addToBatch(() => this.write(address, offset, length));
  }

  #addToBatch(part: () => Errno): boolean {
    if (this.#batch.length >= this.batchLimit) return false;
    this.#batch.push(part);
    return true;
  }

  runBatch(): boolean {
    this.#expectInside();
    this.log.push(`batch ${this.#batch.length}`);
    const batch = this.#batch;
    this.#batch = [];
    for (const [index, part] of batch.entries()) if (!this.undone.has(index)) part();
    this.#ran = batch;
    return this.undone.size === 0;
  }

  #ran: (() => Errno)[] = [];

  batchResult(index: number): Errno {
    const errno = this.undone.get(index);
    if (errno === undefined) return 0;
    return errno || (this.#ran[index]?.() ?? EIO);
  }

  fillPipe(pipe: number, offset: number, length: number): number {
    this.#note('fillPipe', offset, length);
    if (this.pipes.get(pipe)?.length !== 0) return -ENOTSUP;
    const there = Math.max(0, Math.min(length, this.fileSize - offset));
    this.pipes.set(pipe, Buffer.from(this.content.subarray(offset, offset + there)));
    return there;
  }

  write(address: number, offset: number, length: number): Errno {
    this.#note('write', offset, length);
    memcpy(this.#address + offset, address, length);
    this.#mark(offset, length, false);
    return 0;
  }

  canWriteFromPipe(): boolean {
    return false;
  }

  writeFromPipe(): Errno {
    return ENOTSUP;
  }

  flush(): Errno {
    this.#expectInside();
    this.log.push('flush');
    return this.isBound ? 0 : EIO;
  }

  trim(offset: number, length: number): Errno {
    this.#note('trim', offset, length);
    this.#zero(offset, length);
    this.#mark(offset, length, true);
    return 0;
  }

  writeZeroes(offset: number, length: number, how: ZeroMode): Errno {
    this.#note(`writeZeroes${how.punch ? ' punch' : ''}${how.fast ? ' fast' : ''}`, offset, length);
    this.#zero(offset, length);
    this.#mark(offset, length, how.punch);
    return 0;
  }

  /** A device larger than its content is zeroes behind that. */
  #zero(offset: number, length: number): void {
    const end = this.content.length;
    this.content.fill(0, Math.min(offset, end), Math.min(offset + length, end));
  }

  cache(offset: number, length: number): Errno {
    this.#note('cache', offset, length);
    return 0;
  }

  queried(): void {
    this.log.push('queried');
  }

  extent(offset: number, length: number): number {
    this.#expectRange(offset, length);
    const isHole = this.#holeAt(offset);
    const pages = Math.min(this.#isHole.length, Math.ceil((offset + length) / PAGE));
    let page = Math.floor(offset / PAGE);
    while (page < pages && this.#isHole[page] === isHole) page++;
    const isRest = page >= this.#isHole.length && isHole; // what was never written is a hole
    const run = isRest ? length : Math.min(length, page * PAGE - offset);
    return isHole ? -run : run;
  }

  /** Changed pages are those that hold data. */
  dirty(offset: number, length: number): number {
    return this.extent(offset, length);
  }

  /** It is no overlay. */
  held(_offset: number, length: number): number {
    return -length;
  }

  isData(offset: number, length: number): boolean {
    return this.extent(offset, length) === length;
  }

  #holeAt(offset: number): boolean {
    return this.#isHole[Math.floor(offset / PAGE)] ?? true;
  }

  /** A hole grows by the pages that are wholly in the range, data by every page that it touches. */
  #mark(offset: number, length: number, isHole: boolean): void {
    const first = isHole ? Math.ceil(offset / PAGE) : Math.floor(offset / PAGE);
    const end = isHole ? Math.floor((offset + length) / PAGE) : Math.ceil((offset + length) / PAGE);
    if (first < end) this.#isHole.fill(isHole, first, end);
  }

  #note(call: string, offset: number, length: number): void {
    this.#expectRange(offset, length);
    this.log.push(`${call} ${offset} ${length}`);
  }

  #expectRange(offset: number, length: number): void {
    this.#expectInside();
    if (!this.isBound) throw new Error('used while not bound');
    if (length <= 0 || offset < 0 || offset + length > this.size) {
      throw new Error(`a range that was not admitted: ${offset} ${length}`);
    }
  }

  #expectInside(): void {
    if (this.#inside <= 0) throw new Error('used without being counted in');
  }

  /* Nothing waits here, so nothing is started. */

  readNow(address: number, offset: number, length: number): Errno {
    return this.read(address, offset, length);
  }

  isDeferred(): boolean {
    return false;
  }

  startRead(): boolean {
    return false;
  }

  startWrite(): boolean {
    return false;
  }

  startFlush(): boolean {
    return false;
  }

  startTrim(): number {
    return 0;
  }

  startZeroes(): number {
    return 0;
  }

  /** Requests answered, by what the session says of their latency. */
  observed = 0;

  observe(requests: number, microseconds: number): void {
    if (!(requests > 0 && microseconds >= 0)) throw new Error(`observed ${requests}, ${microseconds} us`);
    this.observed += requests;
  }

  finished(): Errno {
    throw new Error('nothing was started');
  }
}

/** Operations that a fault can be put in the way of. */
export type Faulty =
  | 'read'
  | 'write'
  | 'flush'
  | 'trim'
  | 'writeZeroes'
  | 'cache'
  | 'fillPipe'
  | 'writeFromPipe';

/** A Backend that does what another does, except where a fault says otherwise. */
export class FaultyBackend implements Backend {
  /** Linux errno to fail with instead; 0 lets the call through. */
  fault: (operation: Faulty, offset: number, length: number) => Errno = () => 0;

  constructor(private readonly inner: Backend) {}

  enter = (): boolean => this.inner.enter();
  exit = (): void => this.inner.exit();
  admit = (access: Access, offset: number, length: number): Errno => this.inner.admit(access, offset, length);
  read = (address: number, offset: number, length: number): Errno =>
    this.fault('read', offset, length) || this.inner.read(address, offset, length);
  look = (address: number, offset: number, length: number): Errno =>
    this.fault('read', offset, length) || this.inner.look(address, offset, length);
  fillPipe = (pipe: number, offset: number, length: number): number =>
    -this.fault('fillPipe', offset, length) || this.inner.fillPipe(pipe, offset, length);
  write = (address: number, offset: number, length: number): Errno =>
    this.fault('write', offset, length) || this.inner.write(address, offset, length);
  canWriteFromPipe = (): boolean => this.inner.canWriteFromPipe();
  writeFromPipe = (pipe: number, offset: number, length: number): Errno =>
    this.fault('writeFromPipe', offset, length) || this.inner.writeFromPipe(pipe, offset, length);
  flush = (): Errno => this.fault('flush', 0, 0) || this.inner.flush();
  trim = (offset: number, length: number): Errno =>
    this.fault('trim', offset, length) || this.inner.trim(offset, length);
  writeZeroes = (offset: number, length: number, how: ZeroMode): Errno =>
    this.fault('writeZeroes', offset, length) || this.inner.writeZeroes(offset, length, how);
  cache = (offset: number, length: number): Errno =>
    this.fault('cache', offset, length) || this.inner.cache(offset, length);
  queried = (): void => this.inner.queried();
  extent = (offset: number, length: number): number => this.inner.extent(offset, length);
  dirty = (offset: number, length: number): number => this.inner.dirty(offset, length);
  held = (offset: number, length: number): number => this.inner.held(offset, length);
  isData = (offset: number, length: number): boolean => this.inner.isData(offset, length);
  readNow = (address: number, offset: number, length: number): Errno =>
    this.fault('read', offset, length) || this.inner.readNow(address, offset, length);
  /* What is to fail has no part in a batch. */
  batchRead = (address: number, offset: number, length: number): boolean =>
    this.fault('read', offset, length) === 0 && this.inner.batchRead(address, offset, length);
  batchWrite = (address: number, offset: number, length: number): boolean =>
    this.fault('write', offset, length) === 0 && this.inner.batchWrite(address, offset, length);
  runBatch = (): boolean => this.inner.runBatch();
  batchResult = (index: number): Errno => this.inner.batchResult(index);
  isDeferred = (): boolean => this.inner.isDeferred();
  /* What is to fail is not started, so it fails in place. */
  startRead = (token: number, address: number, offset: number, length: number): boolean =>
    this.fault('read', offset, length) === 0 && this.inner.startRead(token, address, offset, length);
  startWrite = (token: number, address: number, offset: number, length: number): boolean =>
    this.fault('write', offset, length) === 0 && this.inner.startWrite(token, address, offset, length);
  startFlush = (token: number): boolean => this.fault('flush', 0, 0) === 0 && this.inner.startFlush(token);
  startTrim = (token: number, offset: number, length: number): number =>
    this.fault('trim', offset, length) === 0 ? this.inner.startTrim(token, offset, length) : 0;
  startZeroes = (token: number, offset: number, length: number, how: ZeroMode): number =>
    this.fault('writeZeroes', offset, length) === 0 ? this.inner.startZeroes(token, offset, length, how) : 0;
  observe = (requests: number, microseconds: number): void => this.inner.observe(requests, microseconds);
  finished = (errno: Errno): Errno => this.inner.finished(errno);
}
