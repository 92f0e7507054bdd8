/** A MemoryBackend whose operations can be started, and end when a test says so. */
import { constants } from 'node:os';
import type { Errno, ZeroMode } from '../../server/backend.js';
import type { Operations } from '../../server/session/operations.js';
import { MemoryBackend } from './memory-backend.js';

/** A started operation, and what it does when it ends. */
interface Started {
  readonly token: number;
  readonly act: () => Errno;
}

export class DeferringBackend extends MemoryBackend {
  /** Reads and writes are started too, as with direct I/O. */
  isDirect = false;
  /** TRIM and WRITE_ZEROES are started, of so many bytes at most at a time; 0: they are not. */
  changePiece = 0;
  readonly #started: Started[] = [];

  /** Operations that were started and did not end. */
  get started(): number {
    return this.#started.length;
  }

  /** Ends the operation that was started first, or last. */
  end(operations: Operations, { last = false } = {}): void {
    const started = last ? this.#started.pop() : this.#started.shift();
    if (started !== undefined) operations.done(started.token, started.act());
  }

  override readNow(address: number, offset: number, length: number): Errno {
    return this.isDirect ? constants.errno.EAGAIN : super.readNow(address, offset, length);
  }

  override isDeferred(): boolean {
    return this.isDirect;
  }

  override startRead(token = 0, address = 0, offset = 0, length = 0): boolean {
    return this.#start(token, () => this.read(address, offset, length));
  }

  override startWrite(token = 0, address = 0, offset = 0, length = 0): boolean {
    return this.#start(token, () => this.write(address, offset, length));
  }

  override startFlush(token = 0): boolean {
    this.log.push('start flush');
    return this.#start(token, () => this.flush());
  }

  override startTrim(token = 0, offset = 0, length = 0): number {
    const piece = Math.min(length, this.changePiece);
    if (piece > 0) this.#start(token, () => this.trim(offset, piece));
    return piece;
  }

  override startZeroes(
    token = 0,
    offset = 0,
    length = 0,
    how: ZeroMode = { punch: true, fast: false },
  ): number {
    const piece = Math.min(length, this.changePiece);
    if (piece > 0) this.#start(token, () => this.writeZeroes(offset, piece, how));
    return piece;
  }

  override finished(errno: Errno = 0): Errno {
    this.exit();
    return errno;
  }

  #start(token: number, act: () => Errno): boolean {
    this.#started.push({ token, act });
    return true;
  }
}
