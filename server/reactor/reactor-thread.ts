import { type MessagePort, Worker } from 'node:worker_threads';
import { addressOf, close, eventfd, write } from '../system/sockets.js';
import type { FromReactor, ReactorData, ToReactor } from './messages.js';

/** What a reactor's short-lived objects take at most, MiB: requests make none. */
const YOUNG_MIB = 2;
/** Milliseconds that a thread has to end in when it was told to. */
const PATIENCE = 1000;

/** What a wake writes. Its address is taken at each use: nothing else would keep it from being collected. */
const ONE = new BigUint64Array([1n]);

/** Those that have not ended. */
const live = new Set<ReactorThread>();

/** A process that ends joins its threads, and does not interrupt one in its poll: after an exception it would never end. */
function stopAll(): void {
  for (const thread of live) thread.tell({ kind: 'stop' });
}

export interface ReactorThreadOptions {
  /** Its number on every device. */
  readonly lane: number;
  /** URL of the driver's data path module. */
  readonly dataPath: URL;
  /** For the data path; the thread's from here on. */
  readonly port: MessagePort | undefined;
  readonly cpuLatencyFile: string | undefined;
  readonly onMessage: (message: FromReactor) => void;
  readonly onFailure: (error: Error) => void;
}

/** A reactor, seen from the main thread. Nothing here waits for it: it may hang in a system call. */
export class ReactorThread {
  readonly lane: number;
  /** Resolves when it takes connections. */
  readonly ready: Promise<void>;
  connections = 0;
  /** What its connections may wait for; of use while it has some. */
  domain = '';
  readonly #worker: Worker;
  readonly #wakeFd: number;
  readonly #wakeWord: Int32Array;
  readonly #exited: Promise<true>;

  constructor(options: ReactorThreadOptions) {
    const { lane, dataPath, port, cpuLatencyFile, onMessage, onFailure } = options;
    const wakeWord = new SharedArrayBuffer(4);
    const wakeFd = eventfd();
    const data: ReactorData = { lane, dataPath: dataPath.href, port, wakeFd, wakeWord, cpuLatencyFile };
    const worker = new Worker(new URL('./reactor-worker.js', import.meta.url), {
      execArgv: [],
      workerData: data,
      transferList: port === undefined ? [] : [port],
      name: `reactor ${lane}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    this.lane = lane;
    this.#worker = worker;
    this.#wakeFd = wakeFd;
    this.#wakeWord = new Int32Array(wakeWord);
    this.ready = new Promise((resolve) => {
      worker.on('message', (message: FromReactor) => {
        if (message.kind === 'ready') resolve();
        else onMessage(message);
      });
    });
    worker.on('error', onFailure);
    if (live.size === 0) process.on('exit', stopAll);
    live.add(this);
    this.#exited = new Promise((resolve) =>
      worker.once('exit', () => {
        live.delete(this);
        if (live.size === 0) process.off('exit', stopAll);
        resolve(true);
      }),
    );
  }

  tell(message: ToReactor): void {
    this.#worker.postMessage(message);
    this.wake();
  }

  /** Has it look at its messages, and again at what waits for a thaw. */
  wake(): void {
    if (Atomics.exchange(this.#wakeWord, 0, 1) === 0) write(this.#wakeFd, addressOf(ONE), 8);
  }

  /** As `wake`, whether it was woken before or not. */
  nudge(): void {
    Atomics.store(this.#wakeWord, 0, 1);
    write(this.#wakeFd, addressOf(ONE), 8);
  }

  /**
   * Ends it, with whatever connections it has. False when it hangs: it goes when what it waits for does, and keeps no
   * process alive. It is never terminated: the memory of what is under way is its own, and the kernel still writes there;
   * while it loads, an exception of a native module would end the process.
   */
  async stop(): Promise<boolean> {
    await Promise.race([this.ready, this.#exited]);
    this.tell({ kind: 'stop' });
    void this.#exited.then(() => close(this.#wakeFd));
    const hasEnded = await Promise.race([this.#exited, pause(PATIENCE)]);
    if (!hasEnded) this.#worker.unref();
    return hasEnded;
  }
}

const pause = (milliseconds: number): Promise<false> =>
  new Promise((resolve) => setTimeout(() => resolve(false), milliseconds).unref());
