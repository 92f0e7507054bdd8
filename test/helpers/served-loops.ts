/** Loop devices of this process, served over a Unix socket by a real reactor. */
import { LoopExports } from '../../driver/loop/exports.js';
import { storeBoard } from '../../driver/queue/store-board.js';
import { NbdServer } from '../../server/server.js';
import { LoopBench } from './loop-bench.js';

export interface ServedOptions {
  /** A `DataPathModule`, relative to this file. */
  readonly dataPath?: string;
  readonly reactors?: number;
}

export class ServedLoops implements AsyncDisposable {
  readonly bench: LoopBench;
  readonly server: NbdServer;
  readonly socketPath: string;

  private constructor(options: ServedOptions) {
    this.bench = new LoopBench({ onThaw: () => this.server.wake() });
    const silent = (): void => {};
    this.server = new NbdServer({
      access: {},
      exports: new LoopExports(this.bench.control),
      log: { debug: silent, info: silent, warn: silent, error: silent },
      dataPath: new URL(options.dataPath ?? '../../driver/queue/queue-rq.js', import.meta.url),
      openPort: () => storeBoard.openPort(),
      reactors: options.reactors ?? 1,
      onFailure: (error) => {
        throw error;
      },
    });
    this.socketPath = this.bench.dir.file('nbd.sock');
  }

  static async start(options: ServedOptions = {}): Promise<ServedLoops> {
    const served = new ServedLoops(options);
    await served.server.listenUnix(served.socketPath);
    await served.server.ready();
    return served;
  }

  uri(name: string): string {
    return `nbd+unix:///${name}?socket=${this.socketPath}`;
  }

  /** Ends every session, then the devices; throws what lock-order mistakes were made. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.drain(5000);
    await this.bench[Symbol.asyncDispose]();
  }
}
