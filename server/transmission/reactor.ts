/**
 * A thread that owns connections: it waits in one poll, and gives each connection that has something to do its
 * turn. Nothing here waits for a peer or takes a mutex.
 */
import type { DataPath } from '../backend.js';
import { Connection, Next, type Shared } from './connection.js';
import { Input } from './input.js';
import type { FromReactor, ToReactor } from './messages.js';
import { Output } from './output.js';
import { Pipes } from './pipes.js';
import { PollSet } from './poll-set.js';
import { addressOf, POLLIN, POLLOUT, read, schedYield } from './sockets.js';
import { Spin } from './spin.js';

/** Bytes received at most in one call. */
const INPUT_BYTES = 1 << 20;
/** Bytes of replies collected before they are sent. */
const OUTPUT_BYTES = 1 << 20;
/** Microseconds a reactor spins at most before it sleeps. */
const MAX_SPIN = 50;

export interface ReactorOptions {
  readonly dataPath: DataPath;
  readonly wakeFd: number;
  readonly wakeWord: Int32Array;
  /** The next message to this reactor, if there is one. */
  readonly nextMessage: () => ToReactor | undefined;
  readonly post: (message: FromReactor) => void;
}

export class Reactor {
  readonly #options: ReactorOptions;
  readonly #shared: Shared = {
    input: new Input(INPUT_BYTES),
    out: new Output(OUTPUT_BYTES),
    pipes: new Pipes(),
  };
  readonly #polls = new PollSet();
  readonly #spin = new Spin(MAX_SPIN);
  readonly #wakeCount = new Uint8Array(8);
  readonly #wakeCountAddress = addressOf(this.#wakeCount);
  #connections: Connection[] = [];
  #isDraining = false;
  #isStopped = false;

  constructor(options: ReactorOptions) {
    this.#options = options;
  }

  /** Runs until it is stopped. */
  run(): void {
    this.#options.post({ kind: 'ready' });
    while (!this.#isStopped) {
      if (this.#wait()) this.#answerWake();
      this.#takeTurns();
    }
    for (const connection of this.#connections) this.#close(connection, 'the server stopped');
    this.#shared.pipes.close();
    this.#options.post({ kind: 'stopped' });
  }

  /** Returns when a connection has work; true when there is also a wake to answer. */
  #wait(): boolean {
    const count = this.#arm();
    const hasWork = this.#connections.some((connection) => connection.next === Next.RUN);
    if (hasWork || this.#spinFor(count)) {
      this.#polls.wait(count, 0);
    } else {
      const before = performance.now();
      this.#polls.wait(count, -1);
      this.#spin.slept(performance.now() - before);
    }
    return this.#polls.isReady(0);
  }

  /** Tells the poll set what each connection waits for; entry 0 is the wake descriptor. */
  #arm(): number {
    const polls = this.#polls;
    polls.set(0, this.#options.wakeFd, POLLIN);
    let count = 1;
    for (const { fd, next } of this.#connections) {
      if (next === Next.RECEIVE) polls.set(count++, fd, POLLIN);
      else if (next === Next.SEND) polls.set(count++, fd, POLLOUT);
      else polls.set(count++, -1, 0);
    }
    return count;
  }

  /** Looks again for a while. True when something is ready. */
  #spinFor(count: number): boolean {
    const budget = this.#spin.milliseconds;
    if (budget === 0) return false;
    const end = performance.now() + budget;
    do {
      if (this.#polls.wait(count, 0) > 0) return true;
      schedYield();
    } while (performance.now() < end);
    return false;
  }

  #takeTurns(): void {
    let ended = false;
    for (let i = 0; i < this.#connections.length; i++) {
      const connection = this.#connections[i] as Connection;
      connection.part();
      const isOver = connection.next >= Next.END;
      if (!isOver && (connection.next === Next.RUN || this.#polls.isReady(i + 1))) connection.turn();
      if (this.#isDraining && connection.next === Next.RECEIVE) connection.next = Next.END;
      connection.part();
      if (connection.next >= Next.END) ended = true;
    }
    if (ended) this.#sweep();
  }

  #sweep(): void {
    const ended = this.#connections.filter((connection) => connection.next >= Next.END);
    this.#connections = this.#connections.filter((connection) => connection.next < Next.END);
    for (const connection of ended) {
      if (connection.next === Next.PARTED) {
        this.#options.post({ kind: 'parted', id: connection.id, leftover: connection.leftover });
      } else {
        this.#close(connection, connection.reason || 'the server is draining');
      }
    }
  }

  #close(connection: Connection, reason: string): void {
    connection.close();
    this.#options.post({ kind: 'closed', id: connection.id, reason });
  }

  /** The word is cleared before the messages are taken, so that a later one writes the descriptor again. */
  #answerWake(): void {
    read(this.#options.wakeFd, this.#wakeCountAddress, 8);
    Atomics.store(this.#options.wakeWord, 0, 0);
    for (let message = this.#options.nextMessage(); message; message = this.#options.nextMessage()) {
      this.#obey(message);
    }
    for (const connection of this.#connections) {
      if (connection.next === Next.THAW) connection.next = Next.RUN;
    }
  }

  #obey(message: ToReactor): void {
    switch (message.kind) {
      case 'adopt': {
        const backend = this.#options.dataPath.attach(message.shared);
        this.#connections.push(new Connection(this.#shared, { ...message, backend }));
        break;
      }
      case 'drain':
        this.#isDraining = true;
        for (const connection of this.#connections) {
          if (connection.next === Next.RECEIVE) connection.next = Next.RUN;
        }
        break;
      case 'part':
        for (const connection of this.#connections) {
          if (connection.id === message.id) connection.isParting = true;
        }
        break;
      case 'drop':
        for (const connection of this.#connections) {
          if (connection.id === message.id) {
            connection.reason = message.reason;
            connection.next = Next.END;
          }
        }
        break;
      case 'stop':
        this.#isStopped = true;
    }
  }
}
