/**
 * How threads learn what stores a device has. A plain file is told by the device's words (`slots.ts`); anything else is
 * a description with shared memory in it, which only a message carries. Each thread has a port, since it must be able to
 * look by itself: it never returns to its event loop. A description is put up under the freeze, before the word that
 * names it is written: who reads that word finds the description in its port.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { StoreDescription } from '../store/description.js';

/** `description` is absent when it was taken down. */
interface Notice {
  readonly id: number;
  readonly description?: StoreDescription;
}

/** What a thread sees of the board. */
export interface Published {
  /** The description of this number, which is up. */
  find(id: number): StoreDescription;
  /** Takes note of what was put up and taken down, so that it does not gather. */
  look(): void;
  /** Tells the control side that there is something for it: whoever listens for the bell of this number. */
  ring(bell: number): void;
}

/** What is up for all devices of the process. Its main thread's. */
class StoreBoard implements Published {
  readonly #up = new Map<number, StoreDescription>();
  readonly #ports = new Set<MessagePort>();
  readonly #listeners = new Map<number, () => void>();
  #lastId = 0;
  #lastBell = 0;

  /** A new bell, of which `onRing` is told, never within a call. */
  hang(onRing: () => void): number {
    this.#listeners.set(++this.#lastBell, onRing);
    return this.#lastBell;
  }

  takeOff(bell: number): void {
    this.#listeners.delete(bell);
  }

  ring(bell: number): void {
    setImmediate(() => this.#listeners.get(bell)?.());
  }

  /** Returns its number, which is not 0 and not used again. */
  put(description: StoreDescription): number {
    // A word has 32 bits; whatever is up for so long is passed by.
    do this.#lastId = this.#lastId === 0x7fffffff ? 1 : this.#lastId + 1;
    while (this.#up.has(this.#lastId));
    this.#up.set(this.#lastId, description);
    this.#tell({ id: this.#lastId, description });
    return this.#lastId;
  }

  /** No word names it any more. */
  takeDown(id: number): void {
    if (this.#up.delete(id)) this.#tell({ id });
  }

  /** A port for a thread that begins; `Published` is what the thread makes of it. */
  openPort(): MessagePort {
    const { port1: ours, port2: theirs } = new MessageChannel();
    for (const [id, description] of this.#up) ours.postMessage({ id, description } satisfies Notice);
    this.#ports.add(ours);
    ours.on('close', () => this.#ports.delete(ours));
    ours.on('message', (bell: number) => this.#listeners.get(bell)?.());
    ours.unref();
    return theirs;
  }

  find(id: number): StoreDescription {
    return found(this.#up, id);
  }

  look(): void {}

  #tell(notice: Notice): void {
    for (const port of this.#ports) port.postMessage(notice);
  }
}

/** The board as another thread has it. */
export class StorePort implements Published {
  readonly #up = new Map<number, StoreDescription>();

  constructor(private readonly port: MessagePort) {}

  find(id: number): StoreDescription {
    if (!this.#up.has(id)) this.look();
    return found(this.#up, id);
  }

  ring(bell: number): void {
    this.port.postMessage(bell);
  }

  look(): void {
    for (;;) {
      const message = receiveMessageOnPort(this.port);
      if (message === undefined) return;
      const { id, description } = message.message as Notice;
      if (description === undefined) this.#up.delete(id);
      else this.#up.set(id, description);
    }
  }
}

function found(up: ReadonlyMap<number, StoreDescription>, id: number): StoreDescription {
  const description = up.get(id);
  if (description === undefined) throw new Error(`The stores ${id} are named and not described.`);
  return description;
}

export const storeBoard = new StoreBoard();
