import { once } from 'node:events';
import { type MessagePort, Worker } from 'node:worker_threads';
import { storeBoard } from '../../../driver/queue/store-board.js';

/** Bytes of the longest request. */
export const LARGEST = 256 << 10;

/** A request as a thread carries it out. Bytes. */
export type Planned =
  | { readonly kind: 'write'; readonly at: number; readonly data: Uint8Array; readonly fua: boolean }
  /** Writes at a distance of `stride` from each other, as one batch. */
  | {
      readonly kind: 'gather';
      readonly at: number;
      readonly stride: number;
      readonly data: readonly Uint8Array[];
    }
  | { readonly kind: 'trim'; readonly at: number; readonly length: number }
  | { readonly kind: 'zero'; readonly at: number; readonly length: number; readonly punch: boolean }
  | { readonly kind: 'flush' }
  | { readonly kind: 'read'; readonly at: number; readonly meant: Uint8Array };

export interface LaneData {
  readonly lane: number;
  readonly port: MessagePort;
}

export interface Order {
  readonly requests: readonly Planned[];
  /** All threads begin when as many as `lanes` are here. */
  readonly start: SharedArrayBuffer;
  readonly lanes: number;
}

/** Up to the first that failed; -1: a read brought something else than was meant. */
export interface Reported {
  readonly errnos: readonly number[];
}

/** Threads that carry out requests of one device at a time. */
export class Lanes implements AsyncDisposable {
  readonly #threads: readonly Worker[];

  constructor(readonly count: number) {
    this.#threads = Array.from({ length: count }, (_, index) => {
      const workerData: LaneData = { lane: index + 1, port: storeBoard.openPort() };
      return new Worker(new URL('./lane.js', import.meta.url), {
        workerData,
        transferList: [workerData.port],
      });
    });
  }

  /** From here on they serve this device; null: none. */
  async attach(shared: SharedArrayBuffer | null): Promise<void> {
    await Promise.all(this.#threads.map((thread) => ask(thread, shared)));
  }

  /** Each list by a thread of its own, all at once. */
  async run(lists: readonly (readonly Planned[])[]): Promise<Reported[]> {
    const start = new SharedArrayBuffer(4);
    return await Promise.all(
      lists.map((requests, index) =>
        ask(this.#threads[index] as Worker, { requests, start, lanes: lists.length }),
      ),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }
}

async function ask(thread: Worker, message: SharedArrayBuffer | null | Order): Promise<Reported> {
  const answer = once(thread, 'message');
  thread.postMessage(message);
  const [reported] = await answer;
  return reported as Reported;
}
