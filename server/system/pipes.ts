import { closePipe, openPipe, type Pipe } from './sockets.js';

/** Bytes a pipe is asked to hold. The system's default limit for an unprivileged process. */
const CAPACITY = 1 << 20;

/** Empty pipes kept for the next reply or payload; many slow peers at once leave more, which are closed. */
const MOST_IDLE = 16;

/** The empty pipes of a thread. One is out only while a reply or a payload is on its way through it. */
export class Pipes {
  readonly #idle: Pipe[] = [];

  /** An empty pipe that can hold `length` bytes of whole pages; undefined where there is none now. */
  take(length: number): Pipe | undefined {
    const pipe = this.#idle.pop() ?? openPipe(CAPACITY);
    if (pipe === undefined || length <= pipe.capacity) return pipe;
    this.give(pipe);
    return undefined;
  }

  /** Gives an empty pipe back. */
  give(pipe: Pipe): void {
    if (this.#idle.length < MOST_IDLE) this.#idle.push(pipe);
    else closePipe(pipe);
  }

  /** For a pipe that holds data nobody will read. */
  drop(pipe: Pipe): void {
    closePipe(pipe);
  }

  close(): void {
    for (const pipe of this.#idle.splice(0)) closePipe(pipe);
  }
}
