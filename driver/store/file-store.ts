/** The plain case: a file, or a block device, is the disk. */
import { constants } from 'node:os';
import type { Errno, ZeroMode } from '../../server/backend.js';
import { extentAt, isKnownData } from '../io/extents.js';
import * as file from '../io/file-calls.js';
import { flushFile, readDirect, readFully, writeDirect, writeFromPipe, writeFully } from '../io/transfer.js';
import { PUNCH, punchRange, zeroCall, zeroMemory, zeroRange } from '../io/zero-range.js';
import type { FileDescription } from './description.js';
import { Learned } from './learned.js';
import type { Range } from './offload.js';
import type { Store } from './store.js';
import type { ThreadTools } from './thread-tools.js';

const { EAGAIN, EINTR, EINVAL, EIO, ENOTSUP, EOPNOTSUPP } = constants.errno;

/** How often ranges of a device were zeroed, by whatever thread: what was found to be data may be a hole since. */
export interface ZeroedCount {
  readonly value: number;
  increment(): void;
}

export class FileStore implements Store {
  readonly #fd: number;
  readonly #alignment: number;
  readonly #isDirect: boolean;
  readonly #tools: ThreadTools;
  readonly #zeroed: ZeroedCount;
  readonly #learned: Learned;

  constructor(
    { fd, alignment, tellsHoles }: Omit<FileDescription, 'kind'>,
    tools: ThreadTools,
    zeroed: ZeroedCount,
  ) {
    this.#fd = fd;
    this.#alignment = alignment;
    this.#isDirect = alignment > 1;
    this.#tools = tools;
    this.#zeroed = zeroed;
    this.#learned = new Learned(tellsHoles);
  }

  read(address: number, position: number, length: number): Errno {
    return this.#isDirect
      ? readDirect(this.#fd, address, length, position, this.#alignment)
      : readFully(this.#fd, address, length, position);
  }

  readNow(address: number, position: number, length: number): Errno {
    const learned = this.#learned;
    if (this.#tools.offload === undefined || learned.noWait === false) {
      return this.read(address, position, length);
    }
    const got = file.preadNoWait(this.#fd, address, length, position);
    learned.noWait = got >= 0 || file.errno() !== EOPNOTSUPP;
    if (got === length) return 0;
    if (got !== 0 && learned.noWait) return EAGAIN; // some of it is not in the page cache
    return this.read(address, position, length);
  }

  write(address: number, position: number, length: number): Errno {
    return this.#isDirect
      ? writeDirect(this.#fd, address, length, position, this.#alignment)
      : writeFully(this.#fd, address, length, position);
  }

  flush(): Errno {
    return flushFile(this.#fd);
  }

  trim(position: number, length: number): Errno {
    const errno = punchRange(this.#fd, position, length, this.#learned);
    this.#zeroed.increment();
    return errno;
  }

  zero(position: number, length: number, how: ZeroMode): Errno {
    const errno = zeroRange(this.#fd, position, length, how, this.#learned);
    this.#zeroed.increment();
    return errno;
  }

  prefetch(position: number, length: number): void {
    file.posixFadvise(this.#fd, position, length, file.POSIX_FADV_WILLNEED);
  }

  extent(position: number, length: number): number {
    const known = this.#learned.ofData(this.#zeroed.value);
    return extentAt(this.#fd, position, length, known, this.#alignment);
  }

  isData(position: number, length: number): boolean {
    return isKnownData(this.#fd, position, length, this.#learned);
  }

  held(_position: number, length: number): number {
    return -length;
  }

  /* Batches are of the page cache. */

  batchRead(address: number, position: number, length: number): boolean {
    const { batch, offload } = this.#tools;
    if (batch === undefined || batch.isFull || this.#isDirect) return false;
    const noWait = offload === undefined ? false : this.#learned.noWait;
    if (noWait === undefined) return false; // `readNow` finds out
    batch.addRead(this.#fd, position, address, length, noWait);
    return true;
  }

  batchWrite(address: number, position: number, length: number): boolean {
    const { batch } = this.#tools;
    if (batch === undefined || batch.isFull || this.#isDirect) return false;
    batch.addWrite(this.#fd, position, address, length);
    return true;
  }

  runBatch(): boolean {
    return this.#tools.batch?.run() ?? true;
  }

  batchResult(index: number): Errno {
    return this.#tools.batch?.finish(index) ?? EIO;
  }

  /* Pipes are of the page cache, too. */

  fillPipe(pipe: number, position: number, length: number): number {
    if (this.#isDirect || !this.#learned.splice) return -ENOTSUP;
    let done = 0;
    while (done < length) {
      const got = file.spliceFromFile(this.#fd, position + done, pipe, length - done);
      if (got > 0) done += got;
      else if (got === 0) break;
      else {
        const errno = file.errno();
        if (errno === EINTR) continue;
        if (errno === EAGAIN) return -ENOTSUP; // the pipe is full: the range crosses more pages than it holds
        if (errno !== EINVAL || done > 0) return -errno;
        this.#learned.splice = false;
        return -ENOTSUP;
      }
    }
    return done;
  }

  canWriteFromPipe(): boolean {
    return !this.#isDirect && this.#learned.writeSplice;
  }

  writeFromPipe(pipe: number, position: number, length: number): Errno {
    if (!this.canWriteFromPipe()) return ENOTSUP;
    const errno = writeFromPipe(this.#fd, pipe, length, position);
    if (errno === ENOTSUP) this.#learned.writeSplice = false;
    return errno;
  }

  isDeferred(): boolean {
    return this.#isDirect && this.#tools.offload !== undefined;
  }

  startRead(token: number, address: number, position: number, length: number): boolean {
    const { offload } = this.#tools;
    if (offload === undefined || !this.#isAligned(position, length)) return false;
    offload.read(token, this.#range(position, length), address, this.#alignment);
    return true;
  }

  startWrite(token: number, address: number, position: number, length: number): boolean {
    const { offload } = this.#tools;
    if (offload === undefined || !this.#isAligned(position, length)) return false;
    offload.write(token, this.#range(position, length), address, this.#alignment);
    return true;
  }

  startFlush(token: number): boolean {
    const { offload } = this.#tools;
    if (offload === undefined) return false;
    offload.flush(token, this.#fd);
    return true;
  }

  /** The descriptor is the control side's, and the tools are the thread's. */
  close(): void {}

  startTrim(token: number, position: number, length: number): number {
    const { offload } = this.#tools;
    if (offload === undefined) return 0;
    const learned = this.#learned;
    if (!learned.punch) offload.nothing(token);
    else {
      offload.allocate(token, this.#range(position, length), PUNCH, {
        inPlace: () => punchRange(this.#fd, position, length, learned),
        after: this.#hasZeroed,
      });
    }
    return length;
  }

  startZero(token: number, position: number, length: number, how: ZeroMode): number {
    const { offload } = this.#tools;
    if (offload === undefined) return 0;
    const call = zeroCall(how, this.#learned);
    if (call === 'in place') return 0;
    if (call === 'write') {
      const zeroes = zeroMemory();
      const piece = Math.min(length, zeroes.bytes.length);
      if (!this.#isAligned(position, piece)) return 0;
      offload.fill(token, this.#range(position, piece), zeroes.address, this.#hasZeroed);
      return piece;
    }
    offload.allocate(token, this.#range(position, length), call, {
      inPlace: () => zeroRange(this.#fd, position, length, how, this.#learned),
      after: this.#hasZeroed,
    });
    return length;
  }

  readonly #hasZeroed = (): void => this.#zeroed.increment();

  #range(position: number, length: number): Range {
    return { fd: this.#fd, position, length };
  }

  #isAligned(position: number, length: number): boolean {
    return position % this.#alignment === 0 && length % this.#alignment === 0;
  }
}
