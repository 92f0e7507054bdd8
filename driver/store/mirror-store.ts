/**
 * A store whose bytes are being copied to a file while it is used: what is written goes to both. A chunk is one thread's at a
 * time, the copier's or that of a request, so that both have the same in the end. An error of the file ends the copy, and
 * nothing else.
 */
import { constants } from 'node:os';
import type { Errno, ZeroMode } from '../../server/backend.js';
import type { Store } from './store.js';

const { ENOTSUP } = constants.errno;

/** Bytes of a chunk. */
export const MIRROR_CHUNK = 256 << 10;
/** Words in front of the chunks'. */
export const MirrorWord = { ERRNO: 0, CANCELLED: 1, READING: 2, USED: 3, LOCKS: 4 } as const;
/** A holder that was not noticed to be done is looked at again after so long, milliseconds. */
const LOOK_MS = 5;

/** Locks of the chunks, and how the copy goes, over all threads. */
export class MirrorShared {
  readonly #words: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared);
  }

  static make(bytes: number): SharedArrayBuffer {
    return new SharedArrayBuffer((MirrorWord.LOCKS + Math.ceil(bytes / MIRROR_CHUNK) + 1) * 4);
  }

  /** Why the copy was given up: 0 while both are the same wherever they were copied. */
  get errno(): Errno {
    return Atomics.load(this.#words, MirrorWord.ERRNO);
  }

  fail(errno: Errno): void {
    Atomics.compareExchange(this.#words, MirrorWord.ERRNO, 0, errno);
  }

  /** What is copied can't be read. */
  failReading(errno: Errno): void {
    Atomics.store(this.#words, MirrorWord.READING, 1);
    this.fail(errno);
  }

  /** It is what is copied that failed, and not the file. */
  get hasFailedReading(): boolean {
    return Atomics.load(this.#words, MirrorWord.READING) !== 0;
  }

  get isCancelled(): boolean {
    return Atomics.load(this.#words, MirrorWord.CANCELLED) !== 0;
  }

  cancel(): void {
    Atomics.store(this.#words, MirrorWord.CANCELLED, 1);
    Atomics.notify(this.#words, MirrorWord.CANCELLED);
  }

  /** A request reads or writes the store. */
  use(): void {
    Atomics.store(this.#words, MirrorWord.USED, 1);
  }

  /** Whether one did since the last time. */
  takeUse(): boolean {
    return Atomics.exchange(this.#words, MirrorWord.USED, 0) !== 0;
  }

  /** Waits, until it is cancelled at most. */
  pause(milliseconds: number): void {
    Atomics.wait(this.#words, MirrorWord.CANCELLED, 0, milliseconds);
  }

  lock(chunk: number): void {
    const word = this.#wordOf(chunk);
    while (Atomics.compareExchange(this.#words, word, 0, 1) !== 0)
      Atomics.wait(this.#words, word, 1, LOOK_MS);
  }

  unlock(chunk: number): void {
    const word = this.#wordOf(chunk);
    Atomics.store(this.#words, word, 0);
    Atomics.notify(this.#words, word, 1);
  }

  /** What is behind the end of the file shares a lock. */
  #wordOf(chunk: number): number {
    return Math.min(MirrorWord.LOCKS + chunk, this.#words.length - 1);
  }
}

export class MirrorStore implements Store {
  constructor(
    private readonly from: Store,
    private readonly to: Store,
    private readonly shared: MirrorShared,
  ) {}

  read(address: number, position: number, length: number): Errno {
    this.shared.use();
    return this.from.read(address, position, length);
  }

  readNow(address: number, position: number, length: number): Errno {
    this.shared.use();
    return this.from.readNow(address, position, length);
  }

  /** Chunk by chunk: `both` does the part from `at` on in the store, and tells how it goes; then the same in the file. */
  #inBoth(
    position: number,
    length: number,
    own: (at: number, part: number) => Errno,
    copy: (at: number, part: number) => Errno,
  ): Errno {
    this.shared.use();
    for (let at = position; at < position + length; ) {
      const chunk = Math.floor(at / MIRROR_CHUNK);
      const part = Math.min((chunk + 1) * MIRROR_CHUNK, position + length) - at;
      this.shared.lock(chunk);
      const errno = own(at, part);
      const other = errno === 0 && this.shared.errno === 0 ? copy(at, part) : 0;
      if (other !== 0) this.shared.fail(other);
      this.shared.unlock(chunk);
      if (errno !== 0) return errno;
      at += part;
    }
    return 0;
  }

  write(address: number, position: number, length: number): Errno {
    return this.#inBoth(
      position,
      length,
      (at, part) => this.from.write(address + (at - position), at, part),
      (at, part) => this.to.write(address + (at - position), at, part),
    );
  }

  flush(): Errno {
    return this.from.flush();
  }

  trim(position: number, length: number): Errno {
    return this.zero(position, length, { punch: true, fast: false });
  }

  zero(position: number, length: number, how: ZeroMode): Errno {
    return this.#inBoth(
      position,
      length,
      (at, part) => this.from.zero(at, part, how),
      (at, part) => this.to.zero(at, part, { punch: how.punch, fast: false }),
    );
  }

  prefetch(position: number, length: number): void {
    this.from.prefetch(position, length);
  }

  extent(position: number, length: number): number {
    return this.from.extent(position, length);
  }

  isData(position: number, length: number): boolean {
    return this.from.isData(position, length);
  }

  held(position: number, length: number): number {
    return this.from.held(position, length);
  }

  batchRead(address: number, position: number, length: number): boolean {
    this.shared.use();
    return this.from.batchRead(address, position, length);
  }

  batchWrite(): boolean {
    return false;
  }

  runBatch(): boolean {
    return this.from.runBatch();
  }

  batchResult(index: number): Errno {
    return this.from.batchResult(index);
  }

  fillPipe(pipe: number, position: number, length: number): number {
    this.shared.use();
    return this.from.fillPipe(pipe, position, length);
  }

  canWriteFromPipe(): boolean {
    return false;
  }

  writeFromPipe(): Errno {
    return ENOTSUP;
  }

  isDeferred(): boolean {
    return this.from.isDeferred();
  }

  startRead(token: number, address: number, position: number, length: number): boolean {
    this.shared.use();
    return this.from.startRead(token, address, position, length);
  }

  startWrite(): boolean {
    return false;
  }

  startTrim(): number {
    return 0;
  }

  startZero(): number {
    return 0;
  }

  startFlush(token: number): boolean {
    return this.from.startFlush(token);
  }

  close(): void {
    this.from.close();
  }
}
