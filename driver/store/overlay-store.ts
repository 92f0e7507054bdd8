/** A base that is not written, and deltas over it, of which the top one is: docs/delta-format.md. */
import { constants } from 'node:os';
import type { Errno, ZeroMode } from '../../server/backend.js';
import { BatchClaims } from './delta/batch-claims.js';
import { Incoming } from './delta/incoming.js';
import { Layers } from './delta/layers.js';
import { Top } from './delta/top.js';
import type { OverlayDescription } from './description.js';
import type { ZeroedCount } from './file-store.js';
import type { Store } from './store.js';
import type { ThreadTools } from './thread-tools.js';

const { EIO, ENOTSUP } = constants.errno;

/** Blocks that are claimed at a time. */
const AT_ONCE = 8192;
/** Layers that one pipe is filled from. */
const PIPE_RUNS = 16;
const PUNCH: ZeroMode = { punch: true, fast: false };

export class OverlayStore implements Store {
  readonly #layers: Layers;
  readonly #top: Top;
  readonly #tools: ThreadTools;
  readonly #blockSize: number;
  readonly #dataOffset: number;
  readonly #batch: BatchClaims;
  readonly #incoming: Incoming;

  constructor(description: OverlayDescription, tools: ThreadTools, zeroed: ZeroedCount) {
    this.#layers = new Layers(description, tools, zeroed);
    this.#top = new Top(description.top);
    this.#batch = new BatchClaims(this.#top);
    this.#tools = tools;
    this.#blockSize = description.top.blockSize;
    this.#dataOffset = description.top.dataOffset;
    this.#incoming = new Incoming(this.#layers, this.#top, this.#blockSize, this.#dataOffset);
  }

  /* Reads: run by run, each from its layer. */

  read(address: number, position: number, length: number): Errno {
    return this.#layers.read(0, address, position, length);
  }

  readNow(address: number, position: number, length: number): Errno {
    const { file, shift } = this.#whole(position, length);
    return file === undefined
      ? this.read(address, position, length)
      : file.readNow(address, position + shift, length);
  }

  batchRead(address: number, position: number, length: number): boolean {
    const { file, shift } = this.#whole(position, length);
    if (file === undefined || !file.batchRead(address, position + shift, length)) return false;
    this.#batch.add(0, 0);
    return true;
  }

  startRead(token: number, address: number, position: number, length: number): boolean {
    const { file, shift } = this.#whole(position, length);
    return file?.startRead(token, address, position + shift, length) ?? false;
  }

  prefetch(position: number, length: number): void {
    const layers = this.#layers;
    for (let done = 0; done < length; ) {
      const run = layers.look(position + done, length - done);
      layers.file.prefetch(position + done + layers.shift, run);
      done += run;
    }
  }

  fillPipe(pipe: number, position: number, length: number): number {
    const layers = this.#layers;
    let done = 0;
    for (let runs = 0; done < length; runs++) {
      const run = layers.look(position + done, length - done);
      if (runs === PIPE_RUNS) return -ENOTSUP;
      const moved = layers.file.fillPipe(pipe, position + done + layers.shift, run);
      if (moved < 0) return moved;
      done += moved;
      // Where a layer's file ends before its run does, what follows must not be moved up.
      if (moved < run) return done + run - moved < length ? -ENOTSUP : done;
    }
    return done;
  }

  extent(position: number, length: number): number {
    const layers = this.#layers;
    const run = layers.look(position, length);
    return layers.file.extent(position + layers.shift, run);
  }

  isData(position: number, length: number): boolean {
    const { file, shift } = this.#whole(position, length);
    return file?.isData(position + shift, length) ?? false;
  }

  held(position: number, length: number): number {
    const block = this.#blockSize;
    const first = Math.floor(position / block);
    const run = this.#top.run(first, Math.ceil((position + length) / block));
    const bytes = Math.min((first + run) * block - position, length);
    return this.#top.holds(first) ? bytes : -bytes;
  }

  /** The layer that has the whole range, if one has. */
  #whole(position: number, length: number): Whole {
    const run = this.#layers.look(position, length);
    whole.file = run === length ? this.#layers.file : undefined;
    whole.shift = this.#layers.shift;
    return whole;
  }

  /* Writes */

  write(address: number, position: number, length: number): Errno {
    const block = this.#blockSize;
    const first = Math.floor(position / block);
    const end = Math.ceil((position + length) / block);
    if (this.#top.holdsAll(first, end))
      return this.#layers.top.write(address, position + this.#dataOffset, length);
    for (let from = position; from < position + length; ) {
      const firstOfThese = Math.floor(from / block);
      const to = Math.min(position + length, (firstOfThese + AT_ONCE) * block);
      const errno = this.#incoming.write(address + (from - position), from, to);
      if (errno !== 0) return errno;
      from = to;
    }
    return 0;
  }

  /** Whole blocks that are absent are claimed until the batch is done; a part that can't have its claim goes alone. */
  batchWrite(address: number, position: number, length: number): boolean {
    const block = this.#blockSize;
    const first = Math.floor(position / block);
    const end = Math.ceil((position + length) / block);
    const { claims } = this.#top;
    const isHeld = this.#top.holdsAll(first, end);
    if (!isHeld) {
      if (position % block !== 0 || length % block !== 0 || !claims.tryTake(first, end)) return false;
    }
    if (!this.#layers.top.batchWrite(address, position + this.#dataOffset, length)) {
      if (!isHeld) claims.give(first, end);
      return false;
    }
    this.#batch.add(first, isHeld ? 0 : end);
    return true;
  }

  runBatch(): boolean {
    const isWhole = this.#tools.batch?.run() ?? true;
    this.#batch.ran(isWhole);
    return isWhole;
  }

  batchResult(index: number): Errno {
    const errno = this.#tools.batch?.finish(index) ?? EIO;
    this.#batch.settle(index, errno === 0);
    return errno;
  }

  canWriteFromPipe(): boolean {
    return this.#layers.top.canWriteFromPipe();
  }

  writeFromPipe(pipe: number, position: number, length: number): Errno {
    const block = this.#blockSize;
    const first = Math.floor(position / block);
    const end = Math.ceil((position + length) / block);
    const { top } = this.#layers;
    const at = position + this.#dataOffset;
    if (this.#top.holdsAll(first, end)) return top.writeFromPipe(pipe, at, length);
    this.#top.claims.take(first, end);
    // What the pipe has is not looked at: blocks of which it has a part come in whole before.
    const isCutAtStart = position % block !== 0;
    const isCutAtEnd = (position + length) % block !== 0 && !(isCutAtStart && end === first + 1);
    const errno =
      (isCutAtStart ? this.#incoming.comeInWhole(first) : 0) ||
      (isCutAtEnd ? this.#incoming.comeInWhole(end - 1) : 0) ||
      top.writeFromPipe(pipe, at, length);
    if (errno === 0) this.#top.cameIn(first, end);
    this.#top.claims.give(first, end);
    return errno;
  }

  /* TRIM and WRITE_ZEROES: the top holds the blocks, and has a hole there. What lies there must not come to light. */

  trim(position: number, length: number): Errno {
    return this.zero(position, length, PUNCH);
  }

  zero(position: number, length: number, how: ZeroMode): Errno {
    const block = this.#blockSize;
    const end = position + length;
    const start = Math.min(Math.ceil(position / block) * block, end);
    const stop = Math.max(Math.floor(end / block) * block, start);
    for (let from = start; from < stop; from += AT_ONCE * block) {
      const errno = this.#incoming.zeroBlocks(from, Math.min(stop, from + AT_ONCE * block), how);
      if (errno !== 0) return errno;
    }
    const errno = position < start ? this.#incoming.zeroPart(position, start, how) : 0;
    return errno === 0 && stop < end ? this.#incoming.zeroPart(stop, end, how) : errno;
  }

  startTrim(token: number, position: number, length: number): number {
    return this.startZero(token, position, length, PUNCH);
  }

  /** Of what the top holds; all else is brought in, in place. */
  startZero(token: number, position: number, length: number, how: ZeroMode): number {
    const block = this.#blockSize;
    const first = Math.floor(position / block);
    if (!this.#top.holdsAll(first, Math.ceil((position + length) / block))) return 0;
    return this.#layers.top.startZero(token, position + this.#dataOffset, length, how);
  }

  flush(): Errno {
    return this.#top.flush();
  }

  /** Where the bitmap has something to be written it is done in place: two fdatasync, and a write between them. */
  startFlush(token: number): boolean {
    return this.#top.isDurable && this.#layers.top.startFlush(token);
  }

  /* Direct I/O is not for overlays: nothing had better be started. */

  isDeferred(): boolean {
    return false;
  }

  startWrite(): boolean {
    return false;
  }

  /** What it uses is the control side's. */
  close(): void {}
}

interface Whole {
  file: Layers['file'] | undefined;
  shift: number;
}
/** What `#whole` tells; read at once. */
const whole: Whole = { file: undefined, shift: 0 };
