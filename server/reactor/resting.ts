import { Epoll } from '../system/epoll.js';
import type { Connection } from './connection.js';
import { Next } from './next.js';

/** So many connections of a thread are looked at in every turn: less than it costs to put one away and take it back. */
const MOST_AWAKE = 16;
/** Turns in a row without anything for a connection after which it is put away. */
const PATIENCE = 32;

/**
 * Connections that wait for nothing but their client, and have waited for a while: they cost a thread's turns nothing. Those that are
 * awake are looked at one by one, so a thread with a thousand connections of which three are busy is as quick as with three.
 */
export class Resting {
  readonly #epoll = new Epoll();
  readonly #all = new Map<number, Connection>();

  /** Readable when one of them is to wake up; -1: there is none. */
  get fd(): number {
    return this.#all.size === 0 ? -1 : this.#epoll.fd;
  }

  get size(): number {
    return this.#all.size;
  }

  get connections(): Iterable<Connection> {
    return this.#all.values();
  }

  /** Takes some of those that are awake, and returns the others, in their order. */
  putAway(awake: Connection[]): Connection[] {
    if (awake.length <= MOST_AWAKE) return awake;
    return awake.filter((connection) => {
      if (connection.idleTurns < PATIENCE || !connection.mayRest || !this.#epoll.add(connection.fd))
        return true;
      this.#all.set(connection.fd, connection);
      return false;
    });
  }

  /** Those whose client has said something. */
  wakeReady(): Connection[] {
    return this.#epoll.ready().flatMap((fd) => this.#wake(this.#all.get(fd)));
  }

  /** Those that are meant, for whatever reason. */
  wake(isMeant: (connection: Connection) => boolean = () => true): Connection[] {
    return [...this.#all.values()].filter(isMeant).flatMap((connection) => this.#wake(connection));
  }

  #wake(connection: Connection | undefined): Connection[] {
    if (connection === undefined) return [];
    this.#all.delete(connection.fd);
    this.#epoll.remove(connection.fd);
    connection.idleTurns = 0;
    // No poll of this turn has looked at it.
    connection.next = Next.RUN;
    return [connection];
  }

  close(): void {
    this.#epoll.close();
  }
}
