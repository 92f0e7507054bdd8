import { constants } from 'node:os';
import type { Backend, Errno } from '../backend.js';
import { Misses } from '../pace/misses.js';
import { Kept } from '../wire/kept.js';
import type { Request } from '../wire/request.js';
import type { Output } from './output.js';
import { PLAIN_REPLY_BYTES, type Replies } from './replies.js';
import type { UnderWay } from './under-way.js';

const { EAGAIN } = constants.errno;

/** Parts of a batch at most. Its replies are sent then: the peer has them to go through while the next is served. */
const MOST = 16;
/** Of the first batch where the peer has little left to go through. */
const FEW = 4;

/** A request whose reply is written as if it had succeeded. Reused. */
class Part extends Kept {
  isRead = false;
  errno: Errno = 0;
  /** Where its reply ends in the output. */
  end = 0;

  take(request: Request, isRead: boolean, end: number): void {
    this.keep(request);
    this.isRead = isRead;
    this.end = end;
  }
}

/**
 * Small READs and WRITEs of one session that are carried out by one system call. Each one's reply is written at once
 * as if it had succeeded; `settle` carries them out, and writes again what proved to be different.
 *
 * Nothing else is written to the output and nothing is flushed between the first part and `settle`.
 */
export class ReplyBatch {
  /** READs that the page cache did not have. */
  readonly misses = new Misses();
  readonly #parts: Part[] = [];
  #count = 0;
  /** READs among them. */
  #reads = 0;
  /** Parts of the present batch at most. */
  #most = MOST;
  /** Where the first part's reply starts in the output. */
  #start = 0;
  /** The peer has the magic number of the only part's reply. */
  #isAnnounced = false;

  constructor(
    private readonly backend: Backend,
    private readonly out: Output,
    private readonly replies: Replies,
    private readonly underWay: UnderWay,
  ) {}

  /** A turn begins. `hasten`: the peer will soon have gone through all it was sent, and waits for the first replies. */
  begin(hasten: boolean): void {
    this.#most = hasten ? FEW : MOST;
  }

  /** Makes room for a reply of `bytes`, and for an error in place of each part. */
  room(bytes: number): boolean {
    if (this.#count === this.#most) {
      this.#most = MOST;
      this.settle();
      this.out.flush();
    }
    if (this.#count > 0 && this.out.fits(bytes + (this.#count + 1) * PLAIN_REPLY_BYTES)) return true;
    this.settle();
    return this.out.room(bytes + PLAIN_REPLY_BYTES);
  }

  /** Counts a request in. False while the device is frozen. */
  enter(): boolean {
    return this.#count > 0 || this.backend.enter();
  }

  /** Adds a READ. False when it is not one for a batch. Caller is counted in, made room, and the range was admitted. */
  read(request: Request): boolean {
    const { out, replies } = this;
    const { offset, length } = request;
    if (!this.backend.batchRead(out.address + out.length + replies.dataHeaderBytes, offset, length))
      return false;
    this.#open();
    replies.data(request, offset, length, true);
    replies.follow(length);
    this.#add(request, true);
    return true;
  }

  /** Adds a WRITE whose payload stays at `address` until it is settled. As `read`. */
  write(request: Request, address: number): boolean {
    if (!this.backend.batchWrite(address, request.offset, request.length)) return false;
    this.#open();
    this.replies.plain(request, 0);
    this.#add(request, false);
    return true;
  }

  #open(): void {
    if (this.#count === 0) this.#start = this.out.length;
  }

  #add(request: Request, isRead: boolean): void {
    const index = this.#count++;
    if (isRead) this.#reads++;
    this.#parts[index] ??= new Part();
    this.#parts[index].take(request, isRead, this.out.length);
  }

  /** For a request that was counted in and not added: what there is is carried out, and it is counted out. */
  leave(): void {
    if (this.#count === 0) this.backend.exit();
    else this.settle();
  }

  /** There is one part, and nothing else to be sent. */
  get isLone(): boolean {
    return this.#count === 1 && this.#start === 0;
  }

  /** Sends the magic number of the lone part's reply: the peer wakes up meanwhile. */
  announce(): void {
    this.#isAnnounced = this.out.sendAhead();
  }

  /** Carries out what there is, and counts it out. */
  settle(): void {
    const count = this.#count;
    const reads = this.#reads;
    if (count === 0) return;
    this.#count = this.#reads = 0;
    const missed = this.backend.runBatch() ? 0 : this.#mend(count);
    this.misses.count(reads, missed);
    this.#isAnnounced = false;
    this.backend.exit();
  }

  /** Returns how many READs the page cache did not have. */
  #mend(count: number): number {
    let isWhole = true;
    let missed = 0;
    for (const [index, part] of this.#parts.entries()) {
      if (index === count) break;
      part.errno = this.backend.batchResult(index);
      if (part.errno !== 0) isWhole = false;
      if (part.errno === EAGAIN && part.isRead) missed++;
    }
    if (!isWhole) this.#rewrite(count);
    return missed;
  }

  /** Writes the replies again: those that stand as they were, the others as it came. */
  #rewrite(count: number): void {
    const { out } = this;
    const written = out.bytes.slice(this.#start, out.length);
    let at = this.#start;
    out.length = this.#start;
    for (const [index, part] of this.#parts.entries()) {
      if (index === count) break;
      if (part.errno === 0) {
        out.bytes.set(written.subarray(at - this.#start, part.end - this.#start), out.length);
        out.length += part.end - at;
      } else {
        this.replies.answered--; // it was not, after all
        if (!this.#startRead(part)) this.#answer(part);
      }
      at = part.end;
    }
  }

  /** A READ that would wait for the disk is started. False when it was not. Caller is counted in, and stays so. */
  #startRead(part: Part): boolean {
    const { backend, underWay } = this;
    if (part.errno !== EAGAIN || underWay.isFull) return false;
    const operation = underWay.take(part, part.length);
    if (operation === undefined) return false;
    const { memory } = operation;
    if (memory !== undefined && backend.enter()) {
      operation.isRead = true;
      if (backend.startRead(operation.token, memory.address, part.offset, part.length)) {
        underWay.handOver();
        return true;
      }
      backend.exit();
    }
    underWay.give(operation);
    return false;
  }

  #answer(part: Part): void {
    const { backend, out, replies } = this;
    let { errno } = part;
    if (errno === EAGAIN && part.isRead) {
      errno = backend.read(out.address + out.length + replies.dataHeaderBytes, part.offset, part.length);
    }
    if (errno !== 0) {
      if (this.#isAnnounced && !part.isRead) replies.plainAsBegun(part, errno);
      else replies.plain(part, errno);
      return;
    }
    replies.data(part, part.offset, part.length, true);
    replies.follow(part.length);
  }
}
