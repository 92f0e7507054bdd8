import { Worker } from 'node:worker_threads';
import type { Stepped, ToHandshaker } from './messages.js';
import type { TlsContext } from './tls-context.js';

/** What a handshake's short-lived objects take at most, MiB. */
const YOUNG_MIB = 2;

/** The thread on which TLS handshakes are done, seen from the main thread. */
export class Handshaker {
  readonly #worker: Worker;
  readonly #steps = new Map<number, (stepped: Stepped) => void>();
  readonly #contexts = new WeakMap<TlsContext, number>();
  readonly #forgotten = new FinalizationRegistry((context: number) =>
    this.#tell({ kind: 'forget', context }),
  );
  #lastContext = 0;
  #lastStep = 0;

  /** `onFailure`: it died of a bug of ours. It keeps no process running. */
  constructor(onFailure: (error: Error) => void) {
    this.#worker = new Worker(new URL('./handshake-worker.js', import.meta.url), {
      execArgv: [],
      name: 'TLS handshakes',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    this.#worker.on('error', onFailure);
    this.#worker.on('message', (stepped: Stepped) => {
      this.#steps.get(stepped.id)?.(stepped);
      this.#steps.delete(stepped.id);
    });
    this.#worker.unref();
  }

  /** Goes on with a handshake as far as what the client has sent allows. The connection is the thread's meanwhile. */
  step(context: TlsContext, ssl: number, input: Uint8Array, claimed: string | undefined): Promise<Stepped> {
    const id = ++this.#lastStep;
    return new Promise((resolve) => {
      this.#steps.set(id, resolve);
      this.#tell({ kind: 'step', id, ssl, context: this.#idOf(context), input, claimed });
    });
  }

  /** Ends the thread when it has done what it was told. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #idOf(context: TlsContext): number {
    const known = this.#contexts.get(context);
    if (known !== undefined) return known;
    const id = ++this.#lastContext;
    this.#contexts.set(context, id);
    if (context.psk !== undefined) {
      this.#tell({ kind: 'keys', context: id, keys: context.psk });
      this.#forgotten.register(context, id);
    }
    return id;
  }

  #tell(message: ToHandshaker): void {
    this.#worker.postMessage(message);
  }
}
