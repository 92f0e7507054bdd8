/** The socketpairs of one device in the kernel: which end is served, which waits for its turn, and what keeps it waiting. */

import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import { seeDoctor } from '../see-doctor.js';
import type { PartedSocket } from './attach.js';
import { closeDescriptor, errno, hangUp, isHungUp, socketPair } from './netlink/calls.js';

/** A socket of ours that a reactor serves. */
export interface ServedEnd {
  /** Transmission flags that the kernel may rely on. */
  readonly transmissionFlags: number;
  /** When the socket is closed: 'disconnected' if the kernel said so, as a disconnect does it. */
  readonly closed: Promise<'disconnected' | 'lost'>;
  /** Gives the socket up between two requests: what was received and not served, or undefined when it has ended. */
  part(): Promise<Uint8Array | undefined>;
  /** Takes nothing more from it, and ends when what is under way has ended. */
  drop(): void;
}

export interface NetlinkSocketsParts {
  readonly exportName: string;
  /** Has a reactor serve a socket, which is the server's from then on. */
  serve(socket: PartedSocket): Promise<ServedEnd>;
  /** The device is given up: what waits is not served any more. */
  isEnding(): boolean;
  /** A socket that was served has ended. */
  onEnd(how: 'disconnected' | 'lost'): void;
  onFailure(error: unknown): void;
}

const NOTHING_LEFT = new Uint8Array(0);

/**
 * A socket is served only when all that came over those before it is over: what the kernel has given up is sent again, and
 * an old write must not land on a newer one. The kernel gets the new socket at once, and waits there.
 */
export class NetlinkSockets {
  /** Served, and the kernel's as far as we know. */
  readonly #live = new Map<number, ServedEnd>();
  /** The kernel's, and not served before every fence is gone. */
  readonly #held = new Map<number, PartedSocket>();
  /** Sockets that the kernel gave up, with operations that are still under way: each resolves when its last one ended. */
  readonly #fences = new Set<Promise<unknown>>();

  constructor(readonly parts: NetlinkSocketsParts) {}

  /** As many as the kernel has. */
  get count(): number {
    return this.#live.size + this.#held.size;
  }

  /** What the kernel may rely on, as one that is served tells; 0 where none is. */
  get transmissionFlags(): number {
    const [end] = this.#live.values();
    return end?.transmissionFlags ?? 0;
  }

  /**
   * Gives up every socket, each between two requests. None where what is under way takes longer than `limitMs`: then all of
   * them are dead for the kernel, which sends again over others what was not answered.
   */
  async part(limitMs: number): Promise<PartedSocket[]> {
    const live = [...this.#live];
    const held = [...this.#held.values()];
    this.#held.clear();
    const parting = Promise.all(live.map(async ([fd, end]) => ({ fd, leftover: await end.part() })));
    const ended = await within(limitMs, Promise.all([parting, this.#fenced()]));
    if (ended === undefined) {
      for (const fd of [...this.#live.keys(), ...held.map((socket) => socket.fd)]) hangUp(fd);
      return [];
    }
    const parted = ended[0].flatMap(({ fd, leftover }) => (leftover === undefined ? [] : [{ fd, leftover }]));
    return [...parted, ...held];
  }

  /** Nothing is served before `after` resolves. */
  waitFor(after: Promise<unknown>): void {
    this.#fences.add(after);
    void after.then(() => this.#fences.delete(after));
  }

  /** A new pair, our end served as soon as it may be. Returns the kernel's descriptor, which the caller closes. */
  async open(): Promise<number> {
    const pair = socketPair();
    if (pair === undefined) {
      throw new LoopError(
        'EMFILE',
        `${this.parts.exportName}: no socket can be had (errno ${errno()}) ${seeDoctor('open files')}`,
      );
    }
    try {
      await this.take({ fd: pair.ours, leftover: NOTHING_LEFT });
      return pair.kernels;
    } catch (error) {
      closeDescriptor(pair.kernels);
      throw error;
    }
  }

  /** Has a socket served as soon as it may be. The descriptor is the server's from here on, or closed. */
  async take(socket: PartedSocket): Promise<void> {
    if (this.#fences.size > 0) this.#hold(socket);
    else await this.#serve(socket);
  }

  #hold(socket: PartedSocket): void {
    const { fd } = socket;
    this.#held.set(fd, socket);
    void this.#fenced().then(async () => {
      // Given up or parted meanwhile.
      if (!this.#held.delete(fd)) return;
      if (this.parts.isEnding()) closeDescriptor(fd);
      else await this.#serve(socket).catch((err: unknown) => this.parts.onFailure(err));
    });
  }

  async #fenced(): Promise<void> {
    while (this.#fences.size > 0) await Promise.all(this.#fences);
  }

  async #serve(socket: PartedSocket): Promise<void> {
    const { fd } = socket;
    try {
      this.#watch(fd, await this.parts.serve(socket));
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  #watch(fd: number, end: ServedEnd): void {
    this.#live.set(fd, end);
    void end.closed.then((how) => this.#ended(fd, end, how));
  }

  /** The number may be another socket's by now. */
  #ended(fd: number, end: ServedEnd, how: 'disconnected' | 'lost'): void {
    if (this.#live.get(fd) === end) this.#live.delete(fd);
    this.parts.onEnd(how);
  }

  /**
   * What the kernel has given up is a fence from here on, or closed where it was not served yet; the sockets beside one
   * with it: over those it sends again at once what was under way there.
   */
  retire(): void {
    const dead = [...this.#live].filter(([fd]) => isHungUp(fd));
    const leaving = dead.length > 0 ? [...this.#live] : [];
    for (const [fd, end] of leaving) {
      this.#live.delete(fd);
      this.#fences.add(end.closed);
      void end.closed.then(() => this.#fences.delete(end.closed));
      end.drop();
    }
    for (const fd of [...this.#held.keys()].filter(isHungUp)) {
      this.#held.delete(fd);
      closeDescriptor(fd);
    }
  }
}

/** What work comes to; undefined where that takes longer. */
async function within<T>(limitMs: number, work: Promise<T>): Promise<T | undefined> {
  const over = new AbortController();
  try {
    return await Promise.race([work, sleep(limitMs, undefined, { signal: over.signal })]);
  } finally {
    over.abort();
  }
}
