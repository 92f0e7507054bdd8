import { isUnixSocket, setSendBuffer } from './sockets.js';

/** Bytes of the send buffer of a connection that is not eased. */
export const SEND_BUFFER = 1 << 20;
/** Replies that a peer should have left to read when it is served again: enough to keep it busy meanwhile. */
const REPLIES_LEFT = 8;
/** Memory that a reply takes in the socket, for each of its bytes: the kernel counts whole buffers. */
const OVERHEAD = 1.3;
/** Bytes of a reply below which the unread ones can't be told by the memory they take: it is the kernel's own. */
const SMALL_REPLY = 512;
/** Bytes of a reply beyond which a client is bound by the copying, and there is nothing to gain. */
const LARGE_REPLY = 16 << 10;
/** Turns of few requests until the peer's backlog is looked at again. */
const PATIENCE = 8;
/** Requests of a turn that tell of a client with several in flight. */
const SEVERAL = 3;

/**
 * Tells when a client is the slower side, on a Unix socket: it has many replies to read yet, and every request it
 * sends meanwhile would be served, and answered, alone. It is then better to sleep until it has read most of them and
 * to serve all of its requests at once, for a fraction of the system calls. POLLOUT wakes us: it comes when no more
 * than a quarter of the send buffer is unread, so that buffer is made to fit.
 */
export class Easing {
  readonly #isPossible: boolean;
  #turns = 0;
  /** Bytes asked for as send buffer; 0: it is as it was. */
  #buffer = 0;

  constructor(private readonly fd: number) {
    this.#isPossible = isUnixSocket(fd);
  }

  /** After a turn of so many requests, answered by so many bytes: true when the backlog is to be waited for. */
  isBusy(requests: number, bytes: number): boolean {
    const reply = bytes / requests;
    if (!this.#isPossible || reply < SMALL_REPLY || reply > LARGE_REPLY) return false;
    if (requests < SEVERAL && ++this.#turns < PATIENCE) return false;
    this.#turns = 0;
    // The kernel doubles what it is asked for, and a quarter of that is the mark.
    const wanted = Math.ceil(reply * REPLIES_LEFT * OVERHEAD * 2);
    if (wanted > this.#buffer * 1.5 || wanted * 1.5 < this.#buffer) {
      this.#buffer = wanted;
      setSendBuffer(this.fd, wanted);
    }
    return true;
  }

  /** Large replies need the whole buffer. */
  stop(): void {
    if (this.#buffer === 0) return;
    this.#buffer = 0;
    setSendBuffer(this.fd, SEND_BUFFER);
  }
}
