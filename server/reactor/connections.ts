import { Epoll } from '../system/epoll.js';
import type { Connection } from './connection.js';
import { Next } from './next.js';

/** So many connections of a thread are looked at in every turn: less than it costs to put one away and take it back. */
const MOST_AWAKE = 16;
/** Turns in a row without anything for a connection after which it is put away. */
const PATIENCE = 32;

/**
 * The connections of a thread. Those that wait for nothing but their client, and have waited for a while, rest, and cost a turn nothing;
 * the others are awake, and looked at one by one. So a thread with a thousand connections of which three are busy is as quick as with three.
 */
export class Connections {
  /** In the order in which they have their turns. */
  awake: Connection[] = [];
  readonly #resting = new Map<number, Connection>();
  readonly #epoll = new Epoll();

  /** Readable when one that rests is to wake up; -1: none rests. */
  get restingFd(): number {
    return this.#resting.size === 0 ? -1 : this.#epoll.fd;
  }

  get count(): number {
    return this.awake.length + this.#resting.size;
  }

  /** There is one, and no other. */
  get isOne(): boolean {
    return this.count === 1;
  }

  add(connection: Connection): void {
    this.awake.push(connection);
    this.#tellWhetherAlone();
  }

  /** One of the device. */
  of(device: number): Connection | undefined {
    const isMeant = (connection: Connection): boolean => connection.device === device;
    return this.awake.find(isMeant) ?? [...this.#resting.values()].find(isMeant);
  }

  /** The one with this number, awake. */
  called(id: number): Connection | undefined {
    this.wake((connection) => connection.id === id);
    return this.awake.find((connection) => connection.id === id);
  }

  /** Takes out those that are over. */
  takeEnded(): Connection[] {
    const ended = this.awake.filter(({ next }) => next >= Next.END);
    this.awake = this.awake.filter(({ next }) => next < Next.END);
    this.#tellWhetherAlone();
    return ended;
  }

  /** Puts away some of those that had nothing to do. */
  rest(): void {
    if (this.awake.length <= MOST_AWAKE) return;
    this.awake = this.awake.filter((connection) => !this.#putAway(connection));
  }

  /** Those whose client has said something. */
  wakeReady(): void {
    for (const fd of this.#epoll.ready()) {
      const connection = this.#resting.get(fd);
      if (connection !== undefined) this.#wake(connection);
    }
  }

  /** Those that are meant, for whatever reason. */
  wake(isMeant: (connection: Connection) => boolean = () => true): void {
    for (const connection of this.#resting.values()) if (isMeant(connection)) this.#wake(connection);
  }

  close(): void {
    this.#epoll.close();
  }

  #putAway(connection: Connection): boolean {
    const { fd, idleTurns, mayRest } = connection;
    if (idleTurns < PATIENCE || !mayRest || !this.#epoll.add(fd)) return false;
    this.#resting.set(fd, connection);
    return true;
  }

  #wake(connection: Connection): void {
    this.#resting.delete(connection.fd);
    this.#epoll.remove(connection.fd);
    connection.idleTurns = 0;
    // No poll of this turn has looked at it.
    connection.next = Next.RUN;
    this.awake.push(connection);
  }

  #tellWhetherAlone(): void {
    const { isOne } = this;
    // The last one that is left is looked at in every turn.
    if (isOne) this.wake();
    for (const connection of this.awake) connection.isAlone = isOne;
  }
}
