import type { Duplex } from 'node:stream';
import type { DataPath, DataPathModule } from '../backend.js';
import { type Adopted, MAX_THREADS } from '../reactor/reactor-pool.js';
import { Input } from '../session/input.js';
import { LONG_READ } from '../session/long-read.js';
import { Output } from '../session/output.js';
import { Pieces } from './piece-sender.js';
import { StreamConnection, type StreamMemory } from './stream-connection.js';

/** The lane of every device that belongs to the main thread; reactors have those below. */
const MAIN_LANE = MAX_THREADS;
/** Bytes received at most in one turn. */
const INPUT_BYTES = 256 << 10;
/** Bytes of replies collected before they are handed to the stream: the longest READ that is answered in one piece. */
const OUTPUT_BYTES = LONG_READ + 4096;

/** A stream that has finished its handshake. */
export interface AdoptedStream extends Omit<Adopted, 'fd'> {
  readonly stream: Duplex;
}

/** The connections that Node's event loop serves: a `ReactorPool` of one, for streams in place of descriptors. */
export class StreamHost {
  readonly #open = new Map<number, StreamConnection>();
  readonly #memory: StreamMemory = {
    input: new Input(INPUT_BYTES),
    out: new Output(OUTPUT_BYTES),
    pieces: new Pieces(),
  };
  #lastId = 0;

  constructor(private readonly dataPath: DataPath) {}

  /** `dataPath`: URL of the driver's data path module. */
  static async load(dataPath: URL): Promise<StreamHost> {
    const { openDataPath } = (await import(dataPath.href)) as DataPathModule;
    return new StreamHost(openDataPath(MAIN_LANE));
  }

  get connections(): number {
    return this.#open.size;
  }

  /** `onClose` is called once, when the stream is closed. The result names the connection to `drop`. */
  adopt(adopted: AdoptedStream, onClose: (reason: string) => void): number {
    const id = ++this.#lastId;
    const connection = new StreamConnection(this.#memory, {
      ...adopted,
      fastZero: adopted.opened.info.fastZero,
      backend: this.dataPath.attach(adopted.opened.shared),
      onClose: (reason) => {
        this.#open.delete(id);
        onClose(reason);
      },
    });
    this.#open.set(id, connection);
    return id;
  }

  drop(id: number, reason: string): void {
    this.#open.get(id)?.drop(reason);
  }

  /** Lets connections that wait for a thaw look again. */
  wake(): void {
    for (const connection of this.#open.values()) connection.wake();
  }

  /** Serves what was received and closes every connection; by force after `timeout` milliseconds. */
  async close(timeout: number): Promise<void> {
    for (const connection of this.#open.values()) connection.drain();
    const deadline = performance.now() + timeout;
    while (this.#open.size > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const connection of this.#open.values()) connection.drop('the server stopped');
  }
}
