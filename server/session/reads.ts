import { constants } from 'node:os';
import type { Errno } from '../backend.js';
import { ReadWay, Way } from '../pace/read-way.js';
import type { Pipe } from '../system/sockets.js';
import { CmdFlag } from '../wire/constants.js';
import type { Request } from '../wire/request.js';
import { type Link, Status } from './link.js';
import { LONG_READ, LongRead } from './long-read.js';
import { MAX_OPERATION } from './operations.js';
import { PLAIN_REPLY_BYTES } from './replies.js';
import { MAX_RUN_HEADERS, readRuns } from './sparse-read.js';

const { EAGAIN, ENOTSUP } = constants.errno;

/** READs from this many bytes go from the page cache to the socket without a copy, where that is possible and faster. */
export const ZERO_COPY_READ = 64 << 10;

/** In place of bytes moved: the device is frozen. No errno is that large. */
const FROZEN = -65536;

/** Serves READ. Every method returns OPEN when the request is answered or under way, else why it must wait. */
export class Reads {
  readonly #long: LongRead;
  readonly #way = new ReadWay();

  constructor(private readonly link: Link) {
    this.#long = new LongRead(link);
  }

  /** A long READ has pieces left: `continueLong` has the word. */
  get isLong(): boolean {
    return this.#long.active;
  }

  /** Answers the next piece; OPEN, or why it must wait. */
  continueLong(): Status {
    return this.#long.step();
  }

  /** True when a READ of this length goes through memory: `small` is for it, unless it had better be started. */
  static isSmall(request: Request): boolean {
    return request.length < ZERO_COPY_READ;
  }

  serve(request: Request): Status {
    const { backend, replies } = this.link;
    if (backend.isDeferred() && request.length <= MAX_OPERATION) return this.#start(request);
    if (request.length > LONG_READ) return this.#long.begin(request);
    if (Reads.isSmall(request)) return this.#copy(request);
    if (replies.mode !== 'simple' && (request.flags & CmdFlag.DF) === 0) return this.#sparse(request);
    return this.#whole(request);
  }

  /** Through memory, with others like it. */
  small(request: Request): Status {
    const { backend, batch, replies } = this.link;
    if (batch.misses.expectNext()) return this.#startUnasked(request);
    if (!batch.room(replies.dataHeaderBytes + request.length)) return Status.BLOCKED;
    if (!batch.enter()) return Status.PARKED;
    const errno = backend.admit('read', request.offset, request.length);
    if (errno === 0 && batch.read(request)) return Status.OPEN;
    batch.leave();
    if (errno === 0) return this.#copy(request);
    replies.plain(request, errno);
    return Status.OPEN;
  }

  /** What was added before is carried out first: a WRITE among it may be what this one reads. */
  #startUnasked(request: Request): Status {
    this.link.batch.settle();
    return this.#start(request);
  }

  /** Through memory, at once if the data is in the page cache. */
  #copy(request: Request): Status {
    const { backend, out, replies } = this.link;
    const head = replies.dataHeaderBytes;
    if (!out.room(head + request.length + PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    if (!backend.enter()) return Status.PARKED;
    let errno = backend.admit('read', request.offset, request.length);
    if (errno === 0) {
      errno = backend.readNow(out.address + out.length + head, request.offset, request.length);
    }
    backend.exit();
    if (errno === EAGAIN) return this.#start(request);
    this.#answer(request, errno);
    return Status.OPEN;
  }

  /** Through memory, however long it takes. */
  #wait(request: Request): Status {
    const { backend, out, replies } = this.link;
    const head = replies.dataHeaderBytes;
    if (!out.room(head + request.length + PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    if (!backend.enter()) return Status.PARKED;
    const errno =
      backend.admit('read', request.offset, request.length) ||
      backend.read(out.address + out.length + head, request.offset, request.length);
    backend.exit();
    this.#answer(request, errno);
    return Status.OPEN;
  }

  /** The data, if there is any, lies where it belongs. */
  #answer(request: Request, errno: Errno): void {
    const { replies } = this.link;
    if (errno !== 0) {
      replies.plain(request, errno);
    } else {
      replies.data(request, request.offset, request.length, true);
      replies.follow(request.length);
    }
  }

  /** Started now, answered when it is done. */
  #start(request: Request): Status {
    const { backend, out, replies, underWay } = this.link;
    if (underWay.isFull) return Status.BUSY;
    const operation = underWay.take(request, request.length);
    if (operation?.memory === undefined) return this.#wait(request);
    if (!backend.enter()) {
      underWay.give(operation);
      return Status.PARKED;
    }
    const errno = backend.admit('read', request.offset, request.length);
    operation.isRead = true;
    if (
      errno === 0 &&
      backend.startRead(operation.token, operation.memory.address, request.offset, request.length)
    ) {
      underWay.handOver();
      return Status.OPEN;
    }
    backend.exit();
    underWay.give(operation);
    if (errno === 0) return this.#wait(request);
    if (!out.room(PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    replies.plain(request, errno);
    return Status.OPEN;
  }

  /** In one piece, the way that is faster for this client. */
  #whole(request: Request): Status {
    if (this.link.zeroCopy === undefined) return this.#copyAtOnce(request);
    const way = this.#way.next;
    const status = way === Way.PIPE ? this.#zeroCopy(request) : this.#copyAtOnce(request);
    if (status === Status.OPEN) this.#way.went(request.length, performance.now());
    return status;
  }

  /** The client begins to take it while the next one is read. */
  #copyAtOnce(request: Request): Status {
    const status = this.#copy(request);
    if (status === Status.OPEN) this.link.out.flush();
    return status;
  }

  /** The data is in the pipe before the header is written, so an error can still be told. */
  #zeroCopy(request: Request): Status {
    const { out, replies, zeroCopy } = this.link;
    if (!out.room(PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    const pipe = zeroCopy?.pipe(request.length);
    if (zeroCopy === undefined || pipe === undefined) return this.#wait(request);
    const moved = this.#fillPipe(request, pipe);
    if (moved < 0) {
      zeroCopy.discard(pipe);
      if (moved === FROZEN) return Status.PARKED;
      if (moved === -ENOTSUP) return this.#wait(request);
      replies.plain(request, -moved);
      return Status.OPEN;
    }
    replies.data(request, request.offset, request.length, true);
    replies.followElsewhere(request.length);
    zeroCopy.sendPipe(out, pipe, moved, request.length - moved);
    return Status.OPEN;
  }

  /** Bytes moved into the pipe, a negative errno, or FROZEN. */
  #fillPipe({ offset, length }: Request, pipe: Pipe): number {
    const { backend } = this.link;
    if (!backend.enter()) return FROZEN;
    const errno = backend.admit('read', offset, length);
    const moved = errno !== 0 ? -errno : backend.fillPipe(pipe.writeEnd, offset, length);
    backend.exit();
    return moved;
  }

  /** Holes are named, not sent. */
  #sparse(request: Request): Status {
    const { backend, out, replies } = this.link;
    const { offset, length } = request;
    if (!backend.enter()) return Status.PARKED;
    const isWhole = backend.admit('read', offset, length) !== 0 || backend.isData(offset, length);
    backend.exit();
    if (isWhole) return this.#whole(request);
    const most = length + MAX_RUN_HEADERS * (replies.dataHeaderBytes + 4);
    if (!out.room(most + PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    if (!backend.enter()) return Status.PARKED;
    const start = out.length;
    const errno =
      backend.admit('read', offset, length) ||
      readRuns(backend, out, replies, request, { offset, length, isLast: true });
    backend.exit();
    if (errno !== 0) {
      out.length = start;
      replies.plain(request, errno);
    }
    return Status.OPEN;
  }
}
