import { addressOf, close, epollControl, epollCreate, epollWait } from './sockets.js';

const EPOLLIN = 1;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
/** What one look tells of at most; the next look tells of more. */
const MOST = 64;
/** `struct epoll_event` is packed on x86-64 (epoll_event in the kernel's eventpoll.h). Bytes. */
const EVENT = process.arch === 'x64' ? { bytes: 12, data: 4 } : { bytes: 16, data: 8 };

/** Descriptors that are looked at all at once, for input, and cost nothing until there is some: epoll(7). */
export class Epoll {
  /** -1: none can be had. */
  readonly fd = epollCreate();
  readonly #events = new Uint8Array(MOST * EVENT.bytes);
  readonly #view = new DataView(this.#events.buffer);
  readonly #address = addressOf(this.#events);

  /** False where it can't be had. */
  add(fd: number): boolean {
    this.#view.setUint32(0, EPOLLIN, true);
    this.#view.setUint32(EVENT.data, fd, true);
    return this.fd >= 0 && epollControl(this.fd, EPOLL_CTL_ADD, fd, this.#address) === 0;
  }

  remove(fd: number): void {
    epollControl(this.fd, EPOLL_CTL_DEL, fd, this.#address);
  }

  /** Those with input, an error or a peer that hung up; at most 64 of them. Waits for none. */
  ready(): number[] {
    const count = Math.max(0, epollWait(this.fd, this.#address, MOST, 0));
    return Array.from({ length: count }, (_, index) =>
      this.#view.getUint32(index * EVENT.bytes + EVENT.data, true),
    );
  }

  close(): void {
    if (this.fd >= 0) close(this.fd);
  }
}
