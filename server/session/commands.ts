import { constants } from 'node:os';
import type { NegotiatedContext } from '../negotiation/outcome.js';
import { Cmd, CmdFlag } from '../wire/constants.js';
import type { Request } from '../wire/request.js';
import { BLOCK_STATUS_BYTES, blockStatus } from './block-status.js';
import { type Link, Status } from './link.js';
import { admitChange, RangeChange } from './range-change.js';
import { PLAIN_REPLY_BYTES } from './replies.js';

const { EINVAL } = constants.errno;

/** A TRIM or WRITE_ZEROES up to this many bytes is done at once: handing it to another thread would take longer. */
const SHORT_CHANGE = 64 << 10;

/** Serves FLUSH, TRIM, WRITE_ZEROES, CACHE, BLOCK_STATUS and DISC. */
export class Commands {
  readonly #change = new RangeChange();

  constructor(
    private readonly link: Link,
    /** Bytes the client was told every extent is a multiple of. */
    private readonly minimumBlock: number,
  ) {}

  /**
   * OPEN when the request is answered, under way or being changed in pieces, else why it must wait. `contexts`: what
   * a BLOCK_STATUS tells of.
   */
  serve(request: Request, contexts: readonly NegotiatedContext[]): Status {
    const { backend, out, underWay } = this.link;
    if (!out.room(BLOCK_STATUS_BYTES)) return Status.BLOCKED;
    if (underWay.isFull) return Status.BUSY;
    if (!backend.enter()) return Status.PARKED;
    switch (request.type) {
      case Cmd.FLUSH:
        this.#flush(request);
        return Status.OPEN;
      case Cmd.CACHE:
        this.#cache(request);
        break;
      case Cmd.BLOCK_STATUS:
        this.#blockStatus(request, contexts);
        break;
      default:
        if (this.#startChange(request)) return Status.OPEN;
        this.#change.begin(request, backend);
        this.#stepChange();
    }
    backend.exit();
    return Status.OPEN;
  }

  /** A TRIM or WRITE_ZEROES has pieces left: `continueChange` has the word. */
  get isChanging(): boolean {
    return this.#change.active;
  }

  /** Does the next piece; OPEN, or why it must wait. */
  continueChange(): Status {
    const { backend, out } = this.link;
    if (!out.room(PLAIN_REPLY_BYTES)) return Status.BLOCKED;
    if (!backend.enter()) return Status.PARKED;
    this.#stepChange();
    backend.exit();
    return Status.OPEN;
  }

  /**
   * A client that leaves properly finds its data durable: no FLUSH need come before DISC. A flush covers what was
   * written before it began, so what is under way must end first.
   */
  disconnect(request: Request): Status {
    const { backend, underWay } = this.link;
    if (underWay.count > 0) return Status.BUSY;
    if (!backend.enter()) return Status.PARKED;
    const operation = underWay.take(request, 0);
    if (operation !== undefined) {
      operation.silent = true;
      if (backend.startFlush(operation.token)) return Status.FINISHED;
      underWay.give(operation);
    }
    backend.flush();
    backend.exit();
    return Status.FINISHED;
  }

  /** Caller is counted in, which the operation takes over or this ends. */
  #flush(request: Request): void {
    const { backend, replies, underWay } = this.link;
    const operation = underWay.take(request, 0);
    if (operation !== undefined) {
      if (backend.startFlush(operation.token)) return;
      underWay.give(operation);
    }
    const errno = backend.flush();
    backend.exit();
    replies.plain(request, errno);
  }

  /** Caller is counted in, which the operation takes over where this is true. */
  #startChange(request: Request): boolean {
    const { backend, underWay } = this.link;
    if (request.length <= SHORT_CHANGE) return false;
    if (admitChange(backend, request.type, request.offset, request.length) !== 0) return false;
    const operation = underWay.take(request, 0);
    if (operation === undefined) return false;
    operation.isChange = true;
    operation.fua = (request.flags & CmdFlag.FUA) !== 0;
    operation.change.begin(request);
    if (underWay.change(operation)) return true;
    underWay.give(operation);
    return false;
  }

  /** Caller has entered the backend, and made room for a reply. */
  #stepChange(): void {
    const { backend, replies } = this.link;
    const change = this.#change;
    if (change.active) change.step(backend);
    if (!change.active) replies.plain(change, change.errno);
  }

  #cache(request: Request): void {
    const { backend, replies } = this.link;
    const { offset, length } = request;
    replies.plain(request, backend.admit('read', offset, length) || backend.cache(offset, length));
  }

  #blockStatus(request: Request, contexts: readonly NegotiatedContext[]): void {
    const { backend, replies } = this.link;
    const errno = contexts.length === 0 ? EINVAL : backend.admit('read', request.offset, request.length);
    if (errno !== 0) replies.plain(request, errno);
    else blockStatus(backend, replies, request, contexts, this.minimumBlock);
  }
}
