import { constants } from 'node:os';
import { errno, MSG_DONTWAIT, MSG_NOSIGNAL, POLLIN, POLLOUT, recv, send } from '../system/sockets.js';

const { EAGAIN, EINTR } = constants.errno;

/** In place of bytes that were moved. */
export const Moved = {
  /** The peer has ended its side. */
  END: 0,
  /** Nothing can be moved before the socket is ready again. */
  NOTHING: -1,
  /** The connection is gone; `failure` says why. */
  GONE: -2,
} as const;

/** How bytes get from a connection's socket to memory and back: as they are, or by TLS. Nothing here waits. */
export interface Transport {
  readonly fd: number;
  /** Kernel and peer mean the same bytes: they may go through a pipe, and be split wherever one likes. */
  readonly isPlain: boolean;
  /** Events of poll(2) that tell when there may be something to receive; when something can be sent again. */
  readonly receiveEvents: number;
  readonly sendEvents: number;
  /** Something is here which poll does not tell of. */
  readonly hasMore: boolean;
  readonly failure: string;
  /** Up to `room` bytes to an address: how many, or one of `Moved`. */
  receive(address: number, room: number): number;
  /** Some of `length` bytes, more than 0: how many, or one of `Moved`. `flags`: of send(2), where they mean something. */
  send(address: number, length: number, flags: number): number;
  /** Releases what it holds, but for the descriptor. */
  close(): void;
}

export class PlainTransport implements Transport {
  readonly isPlain = true;
  readonly receiveEvents = POLLIN;
  readonly sendEvents = POLLOUT;
  readonly hasMore = false;
  readonly failure = 'the connection was reset';

  constructor(readonly fd: number) {}

  receive(address: number, room: number): number {
    const count = recv(this.fd, address, room, MSG_DONTWAIT);
    if (count >= 0) return count;
    return errno() === EAGAIN || errno() === EINTR ? Moved.NOTHING : Moved.GONE;
  }

  send(address: number, length: number, flags: number): number {
    for (;;) {
      const count = send(this.fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
      if (count > 0) return count;
      if (errno() !== EINTR) return errno() === EAGAIN ? Moved.NOTHING : Moved.GONE;
    }
  }

  close(): void {}
}
