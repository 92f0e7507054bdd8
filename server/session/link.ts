import type { Backend } from '../backend.js';
import type { Pipe } from '../system/sockets.js';
import type { ReplyBatch } from './batch.js';
import type { Operation } from './operation.js';
import type { Output } from './output.js';
import type { Replies } from './replies.js';
import type { UnderWay } from './under-way.js';

/** What serving a request, or a stretch of input, came to. */
export const Status = {
  /** Done; it needs more bytes to go on. */
  OPEN: 0,
  /** It had its turn; there may be more to do at once. */
  YIELD: 1,
  /** The device is frozen. */
  PARKED: 2,
  /** The peer must first take what it was sent. */
  BLOCKED: 3,
  /** It has as many operations under way as it may. */
  BUSY: 4,
  /** DISC: everything before it is answered, or under way. */
  FINISHED: 5,
  /** The peer broke the protocol. */
  BROKEN: 6,
  /** A READ failed behind the header of its reply, which nothing but the end can tell a peer of simple replies. */
  CUT_SHORT: 7,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** The reason of an end that the client asked for (DISC). */
export const DISCONNECTED = 'the client disconnected';

/** How the reason of an end begins that is a mistake of ours. */
const FAULT = 'a mistake of the server: ';
export const faultReason = (fault: string): string => `${FAULT}${fault}`;
export const isFault = (reason: string): boolean => reason.startsWith(FAULT);

/** Why a session with this status is over; undefined: it is not. */
export function endingOf(status: Status): string | undefined {
  if (status === Status.FINISHED) return DISCONNECTED;
  if (status === Status.BROKEN) return 'the client broke the protocol';
  if (status === Status.CUT_SHORT) return 'a READ failed with part of its reply sent';
  return undefined;
}

/** What a connection offers for replies that go from page cache to socket. */
export interface ZeroCopy {
  /** An empty pipe that holds `length` bytes of whole pages. */
  pipe(length: number): Pipe | undefined;
  /** Sends what is in `out`, then `count` bytes of the pipe, then zeroes. */
  sendPipe(out: Output, pipe: Pipe, count: number, zeroes: number): void;
  /** Takes the pipe back, whatever it holds. */
  discard(pipe: Pipe): void;
}

/** What the parts of a session share. */
export interface Link {
  readonly backend: Backend;
  readonly out: Output;
  readonly replies: Replies;
  readonly zeroCopy: ZeroCopy | undefined;
  /** Operations that were started and not yet answered. */
  readonly underWay: UnderWay;
  /** Requests that are answered, and yet to be carried out: settled before anything else is done. */
  readonly batch: ReplyBatch;
}

/** Answers an operation that is done. There is room for its reply. */
export function answerOperation({ backend, out, replies, underWay }: Link, operation: Operation): void {
  const { errno, memory, length } = operation;
  if (!operation.silent) {
    backend.observe(1, (performance.now() - operation.since) * 1000);
    if (errno !== 0 || !operation.isRead || memory === undefined) {
      replies.plain(operation, errno);
    } else {
      replies.data(operation, operation.offset, length, true);
      out.bytes.set(memory.bytes.subarray(0, length), out.length);
      replies.follow(length);
    }
  }
  underWay.give(operation);
}
