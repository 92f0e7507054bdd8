import { Worker } from 'node:worker_threads';
import type { OpenedExport } from '../export.js';
import type { NegotiatedContext, ReplyMode } from '../negotiation/outcome.js';
import { addressOf, close, eventfd, setSendBuffer, write } from '../system/sockets.js';
import type { FromReactor, ReactorData, ToReactor } from './messages.js';

/** Bytes of replies the kernel may hold for a peer; what zero-copy reads need to be fast. */
const SEND_BUFFER = 2 << 20;

/** What a reactor's short-lived objects take at most, MiB: requests make none. */
const YOUNG_MIB = 2;

/** A connection that has finished its handshake. */
export interface Adopted {
  /** A non-blocking stream socket; the pool's from here on. */
  readonly fd: number;
  readonly opened: OpenedExport;
  readonly mode: ReplyMode;
  readonly contexts: readonly NegotiatedContext[];
  readonly minimumBlock: number;
  readonly readOnly: boolean;
  /** Bytes of payload a READ or WRITE may carry, where it is not the customary 32 MiB. */
  readonly maxPayload?: number | undefined;
  /** False where the client was not told that it may ask for FAST_ZERO. */
  readonly fastZero?: boolean | undefined;
  /** Bytes received beyond the handshake. */
  readonly leftover: Uint8Array;
}

interface Thread {
  readonly worker: Worker;
  readonly wakeFd: number;
  readonly wakeWord: Int32Array;
  readonly ready: Promise<void>;
  readonly exited: Promise<void>;
  connections: number;
}

/** A connection that a thread has. */
interface Open {
  readonly thread: Thread;
  readonly onClose: (reason: string) => void;
  /** Whoever asked for it to be given up. */
  onParted?: (leftover: Uint8Array | undefined) => void;
}

/** What a wake writes. Its address is taken at each use: nothing else would keep it from being collected. */
const ONE = new BigUint64Array([1n]);

export interface ReactorPoolOptions {
  /** Threads, 1 to 16; each is a lane of every device. */
  readonly reactors: number;
  /** URL of the driver's data path module. */
  readonly dataPath: URL;
  /** What `AwakeCores` opens; undefined: processors sleep as they like. */
  readonly cpuLatencyFile?: string | undefined;
  /** A reactor died of a bug of ours: its connections are lost. */
  readonly onFailure: (error: Error) => void;
}

/** The reactors, seen from the main thread. */
export class ReactorPool {
  readonly #options: ReactorPoolOptions;
  readonly #threads: Thread[];
  readonly #open = new Map<number, Open>();
  #lastId = 0;

  constructor(options: ReactorPoolOptions) {
    this.#options = options;
    this.#threads = Array.from({ length: options.reactors }, (_, lane) => this.#start(lane));
  }

  /** Resolves when every thread takes connections. */
  async ready(): Promise<void> {
    await Promise.all(this.#threads.map(({ ready }) => ready));
  }

  get connections(): number {
    return this.#open.size;
  }

  /** Hands a connection to the reactor that has the fewest. `onClose` is called once, when it is gone. */
  adopt(adopted: Adopted, onClose: (reason: string) => void): number {
    const { opened, ...connection } = adopted;
    const { fd } = connection;
    setSendBuffer(fd, SEND_BUFFER);
    const thread = this.#threads.reduce((a, b) => (b.connections < a.connections ? b : a));
    const id = ++this.#lastId;
    this.#open.set(id, { thread, onClose });
    thread.connections++;
    const { device, shared } = opened;
    this.#tell(thread, { kind: 'adopt', id, device, shared, ...connection });
    return id;
  }

  /**
   * Has a connection given up between two requests: its descriptor is the caller's again, `onClose` is not called.
   * Resolves with what was received and not served, or with undefined when the connection ended instead.
   */
  part(id: number): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const open = this.#open.get(id);
      if (open === undefined) {
        resolve(undefined);
        return;
      }
      open.onParted = resolve;
      this.#tell(open.thread, { kind: 'part', id });
    });
  }

  /** Ends one connection. */
  drop(id: number, reason: string): void {
    const open = this.#open.get(id);
    if (open !== undefined) this.#tell(open.thread, { kind: 'drop', id, reason });
  }

  /** Lets connections that wait for a thaw look again. */
  wake(): void {
    for (const thread of this.#threads) this.#wake(thread);
  }

  /** Serves what was received, closes every connection, then ends the threads; by force after `timeout` ms. */
  async close(timeout: number): Promise<void> {
    for (const thread of this.#threads) this.#tell(thread, { kind: 'drain' });
    const deadline = performance.now() + timeout;
    while (this.#open.size > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await Promise.all(this.#threads.map((thread) => this.#stop(thread)));
  }

  /** A thread is never cut short while it loads: an exception of a native module would end the process then. */
  async #stop(thread: Thread): Promise<void> {
    const { exited } = thread;
    await Promise.race([thread.ready, exited]);
    this.#tell(thread, { kind: 'stop' });
    const last = setTimeout(() => void thread.worker.terminate(), 1000);
    await exited;
    clearTimeout(last);
    close(thread.wakeFd);
  }

  #start(lane: number): Thread {
    const { dataPath, cpuLatencyFile, onFailure } = this.#options;
    const wakeWord = new SharedArrayBuffer(4);
    const wakeFd = eventfd();
    const data: ReactorData = { lane, dataPath: dataPath.href, wakeFd, wakeWord, cpuLatencyFile };
    const worker = new Worker(new URL('./reactor-worker.js', import.meta.url), {
      workerData: data,
      name: `reactor ${lane}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    const ready = new Promise<void>((resolve) => {
      worker.on('message', (message: FromReactor) => {
        if (message.kind === 'ready') resolve();
        else if (message.kind === 'closed') this.#closed(message.id, message.reason);
        else if (message.kind === 'parted') this.#parted(message.id, message.leftover);
      });
    });
    worker.on('error', onFailure);
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    return { worker, wakeFd, wakeWord: new Int32Array(wakeWord), ready, exited, connections: 0 };
  }

  #closed(id: number, reason: string): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(id);
    open.thread.connections--;
    open.onClose(reason);
    open.onParted?.(undefined);
  }

  #parted(id: number, leftover: Uint8Array): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(id);
    open.thread.connections--;
    open.onParted?.(leftover);
  }

  #tell(thread: Thread, message: ToReactor): void {
    thread.worker.postMessage(message);
    this.#wake(thread);
  }

  #wake(thread: Thread): void {
    if (Atomics.exchange(thread.wakeWord, 0, 1) === 0) write(thread.wakeFd, addressOf(ONE), 8);
  }
}
