/**
 * A thread that owns connections: it waits in one poll, and gives each connection that has something to do its
 * turn. Nothing here waits for a peer or takes a mutex.
 */
import { performance } from 'node:perf_hooks';
import type { Completions, DataPath, Errno } from '../backend.js';
import { AwakeCores, REST } from '../pace/awake-cores.js';
import { Spin } from '../pace/spin.js';
import { Input } from '../session/input.js';
import { LONG_READ } from '../session/long-read.js';
import { Operations } from '../session/operations.js';
import { Output } from '../session/output.js';
import { Pipes } from '../system/pipes.js';
import { PollSet } from '../system/poll-set.js';
import { addressOf, keepTime, POLLIN, read, schedYield } from '../system/sockets.js';
import { Spares } from '../system/spares.js';
import { ThreadName } from '../system/thread-name.js';
import { Connection } from './connection.js';
import { Connections } from './connections.js';
import type { FromReactor, ToReactor } from './messages.js';
import { Next } from './next.js';
import type { Shared } from './shared.js';

/** Bytes received at most in one call. */
const INPUT_BYTES = 1 << 20;
/** Bytes of replies collected before they are sent: the largest that is answered in one piece, and its headers. */
const OUTPUT_BYTES = LONG_READ + 4096;
/** Microseconds a reactor spins at most before it sleeps. */
const MAX_SPIN = 50;
/** How often the only connection is asked for each time that the core is offered to others. */
const LOOKS_PER_YIELD = 8;
/** Milliseconds until a hand-over that the kernel had no memory for is tried again. */
const RETRY = 1;

export interface ReactorOptions {
  readonly dataPath: DataPath;
  readonly wakeFd: number;
  readonly wakeWord: Int32Array;
  /** What `AwakeCores` opens; undefined: processors sleep as they like. */
  readonly cpuLatencyFile?: string | undefined;
  /** The next message to this reactor, if there is one. */
  readonly nextMessage: () => ToReactor | undefined;
  readonly post: (message: FromReactor) => void;
}

/** Entries of the poll set in front of the connections'. */
const WAKE = 0;
const COMPLETIONS = 1;
const RESTING = 2;
const FIRST_CONNECTION = 3;

export class Reactor {
  readonly #options: ReactorOptions;
  readonly #completions: Completions | undefined;
  readonly #shared: Shared;
  readonly #polls = new PollSet();
  readonly #spin = new Spin(MAX_SPIN);
  readonly #wakeCount = new Uint8Array(8);
  readonly #awake: AwakeCores | undefined;
  readonly #connections = new Connections();
  readonly #name = new ThreadName();
  #looks = 0;
  /** The time to look again is over: only sleep is left. */
  #hasLooked = false;
  #isDraining = false;
  #isStopped = false;
  /** When the first request that waits may go on; Infinity: none, or it is for others to say. */
  #due = Number.POSITIVE_INFINITY;

  constructor(options: ReactorOptions) {
    this.#options = options;
    const { cpuLatencyFile } = options;
    this.#awake = cpuLatencyFile === undefined ? undefined : new AwakeCores(cpuLatencyFile);
    const { completions } = options.dataPath;
    this.#completions = completions;
    this.#shared = {
      input: new Input(INPUT_BYTES),
      out: new Output(OUTPUT_BYTES),
      pipes: new Pipes(),
      spares: new Spares(OUTPUT_BYTES),
      operations: completions && new Operations(completions),
    };
  }

  /** Runs until it is stopped. */
  run(): void {
    keepTime();
    this.#options.post({ kind: 'ready' });
    while (!this.#isStopped) {
      if (this.#serveAlone()) continue;
      this.#wait();
      if (this.#polls.isReady(WAKE)) this.#answerWake();
      if (this.#polls.isReady(RESTING)) this.#connections.wakeReady();
      if (this.#polls.isReady(COMPLETIONS)) this.#completions?.reap(this.#onDone);
      this.#shared.operations?.changes.goOn();
      this.#takeTurns();
      if (this.#connections.isOne) this.#awake?.went(performance.now());
    }
    this.#awake?.release();
    this.#connections.wake();
    this.#settle();
    for (const connection of this.#connections.awake) this.#close(connection, connection.reason);
    this.#connections.close();
    this.#shared.pipes.close();
    this.#options.dataPath.close?.();
    this.#options.post({ kind: 'stopped' });
  }

  readonly #onDone = (token: number, errno: Errno): void => {
    this.#shared.operations?.done(token, errno);
  };

  /** Ends every connection. The kernel may still use the memory of what is under way: the thread ends after it. */
  #settle(): void {
    const { operations } = this.#shared;
    for (const connection of this.#connections.awake) connection.drop('the server stopped');
    while (operations !== undefined && operations.underWay > 0) {
      this.#completions?.submit();
      this.#polls.set(0, this.#completions?.fd ?? -1, POLLIN);
      this.#polls.wait(1, RETRY);
      this.#completions?.reap(this.#onDone);
      operations.changes.goOn();
    }
  }

  /** Hands over what was started, then returns when there is something to do. */
  #wait(): void {
    const isHandedOver = this.#completions?.submit() ?? true;
    const polls = this.#polls;
    const count = this.#connections.awake.length + FIRST_CONNECTION;
    if (this.#arm() || this.#hasChanges) {
      polls.wait(count, 0);
    } else if (!isHandedOver) {
      polls.wait(count, RETRY);
    } else if (!this.#spinFor(count)) {
      const before = performance.now();
      this.#sleep(count);
      this.#spin.slept(performance.now() - before);
    }
  }

  /** A TRIM or WRITE_ZEROES goes on. */
  get #hasChanges(): boolean {
    return this.#shared.operations?.changes.hasWork === true;
  }

  #sleep(count: number): void {
    if (this.#due !== Number.POSITIVE_INFINITY) {
      this.#polls.pauseFor(count, this.#due - performance.now());
      return;
    }
    if (this.#awake?.areHeld === true) {
      if (this.#polls.wait(count, REST) > 0) return;
      this.#awake.release();
    }
    this.#polls.wait(count, -1);
  }

  /**
   * Asks the only connection itself for a while, which saves the polls. False when it had nothing, or there is more
   * to look at than that connection.
   */
  #serveAlone(): boolean {
    const [connection] = this.#connections.awake;
    const budget = this.#spin.milliseconds;
    this.#hasLooked = false;
    if (connection === undefined || !this.#connections.isOne || budget === 0) return false;
    if (connection.next !== Next.RECEIVE || connection.isParting || this.#isDraining) return false;
    if (this.#hasChanges || this.#completions?.submit() === false) return false;
    const { wakeWord } = this.#options;
    const end = performance.now() + budget;
    do {
      if (Atomics.load(wakeWord, 0) !== 0 || this.#completions?.isReady === true) return false;
      if (connection.turn() || connection.next !== Next.RECEIVE) {
        if (connection.next >= Next.END) this.#sweep();
        else if (connection.next === Next.RECEIVE) this.#pause(connection);
        return true;
      }
      if (++this.#looks % LOOKS_PER_YIELD === 0) schedYield();
    } while (performance.now() < end);
    this.#hasLooked = true;
    return false;
  }

  /** Sleeps so many microseconds while a client's requests gather, or until there is something else to do. */
  #pause(connection: Connection): void {
    const before = performance.now();
    this.#awake?.went(before);
    const micros = connection.pause(before);
    if (micros === 0) return;
    this.#polls.set(WAKE, this.#options.wakeFd, POLLIN);
    this.#polls.set(COMPLETIONS, this.#completions?.fd ?? -1, POLLIN);
    this.#polls.set(RESTING, -1, 0);
    this.#polls.pause(FIRST_CONNECTION, micros);
    connection.gathering.slept((performance.now() - before) * 1000);
  }

  /** Tells the poll set what each connection waits for. True when a connection has more to do at once. */
  #arm(): boolean {
    const polls = this.#polls;
    polls.set(WAKE, this.#options.wakeFd, POLLIN);
    polls.set(COMPLETIONS, this.#completions?.fd ?? -1, POLLIN);
    polls.set(RESTING, this.#connections.restingFd, POLLIN);
    let index = FIRST_CONNECTION;
    let hasWork = false;
    this.#due = Number.POSITIVE_INFINITY;
    for (const connection of this.#connections.awake) {
      const { due } = connection;
      if (due !== Number.POSITIVE_INFINITY) this.#expect(connection, due);
      const { events } = connection;
      polls.set(index++, events === 0 && !connection.isHeld ? -1 : connection.fd, events);
      if (connection.next === Next.RUN) hasWork = true;
    }
    return hasWork;
  }

  /** A request of this connection waits for a time: it has its turn when that has come. */
  #expect(connection: Connection, due: number): void {
    if (due <= performance.now()) connection.next = Next.RUN;
    else this.#due = Math.min(this.#due, due);
  }

  /**
   * Looks again for a while. True when something is ready. The core is offered to others first: clients that share it
   * send several requests meanwhile, which are then served at once.
   */
  #spinFor(count: number): boolean {
    const budget = this.#spin.milliseconds;
    if (budget === 0 || this.#hasLooked) return false;
    const end = performance.now() + budget;
    do {
      schedYield();
      if (this.#polls.wait(count, 0) > 0) return true;
    } while (performance.now() < end);
    return false;
  }

  #takeTurns(): void {
    let ended = false;
    for (let i = 0; i < this.#connections.awake.length; i++) {
      const connection = this.#connections.awake[i] as Connection;
      connection.part();
      if (this.#hasTurn(connection, i)) {
        connection.idleTurns = 0;
        connection.turn();
      } else if (connection.isHeld && this.#polls.isReady(FIRST_CONNECTION + i)) {
        connection.drop('the client closed the connection');
      } else connection.idleTurns++;
      if (this.#isDraining && connection.isAtRest) connection.finish('the server is draining');
      connection.part();
      if (connection.next >= Next.END) ended = true;
    }
    if (ended) this.#sweep();
    this.#connections.rest();
  }

  #hasTurn({ next }: Connection, index: number): boolean {
    if (next === Next.RUN) return true;
    const isPolled = next === Next.RECEIVE || next === Next.SEND;
    return isPolled && this.#polls.isReady(FIRST_CONNECTION + index);
  }

  #sweep(): void {
    const ended = this.#connections.takeEnded();
    for (const { device, backend } of ended) {
      if (this.#connections.of(device) === undefined) backend.close?.();
    }
    for (const connection of ended) {
      if (connection.next === Next.PARTED) {
        this.#options.post({ kind: 'parted', id: connection.id, leftover: connection.leftover });
      } else {
        this.#close(connection, connection.reason);
      }
    }
    if (!this.#connections.isOne) this.#awake?.release();
  }

  #close(connection: Connection, reason: string): void {
    connection.close();
    this.#options.post({ kind: 'closed', id: connection.id, reason });
  }

  /** The word is cleared before the messages are taken, so that a later one writes the descriptor again. */
  #answerWake(): void {
    read(this.#options.wakeFd, addressOf(this.#wakeCount), 8);
    Atomics.store(this.#options.wakeWord, 0, 0);
    this.#options.dataPath.look?.();
    for (let message = this.#options.nextMessage(); message; message = this.#options.nextMessage()) {
      this.#obey(message);
    }
    this.#shared.operations?.changes.thawed();
    for (const connection of this.#connections.awake) connection.wake();
  }

  #obey(message: ToReactor): void {
    switch (message.kind) {
      case 'adopt': {
        const other = this.#connections.of(message.device);
        const backend = other?.backend ?? this.#options.dataPath.attach(message.shared);
        this.#name.follow(message.domain, this.#connections.count > 0);
        this.#connections.add(new Connection(this.#shared, { ...message, backend }));
        if (!this.#connections.isOne) this.#awake?.release();
        break;
      }
      case 'drain':
        this.#isDraining = true;
        this.#connections.wake();
        for (const connection of this.#connections.awake) {
          if (connection.isAtRest) connection.next = Next.RUN;
        }
        break;
      case 'part': {
        const connection = this.#connections.called(message.id);
        if (connection !== undefined) connection.isParting = true;
        break;
      }
      case 'drop':
        this.#connections.called(message.id)?.drop(message.reason);
        break;
      case 'stop':
        this.#isStopped = true;
    }
  }
}
