/** A daemon with its page, and clients that keep its devices busy. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon, type DaemonOptions, freePort } from './daemon.js';
import { NbdSession } from './nbd-session.js';
import { makeSparseFile, TempDir } from './temp.js';

export class PagedDaemon implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #busy: Promise<void>[] = [];

  private constructor(
    readonly directory: TempDir,
    public daemon: Daemon,
    readonly port: number,
    private readonly options: DaemonOptions,
  ) {}

  /** With so many devices of 16 MiB. */
  static async start(devices: number, options: DaemonOptions = {}): Promise<PagedDaemon> {
    const directory = new TempDir();
    const port = await freePort();
    const files = Array.from({ length: devices }, (_, number) =>
      makeSparseFile(directory.file(`disk${number}.img`), 16 << 20),
    );
    const all = {
      ...options,
      directory,
      devices: files,
      args: ['--web', `127.0.0.1:${port}`, ...(options.args ?? [])],
    };
    return new PagedDaemon(directory, await Daemon.start(all), port, all);
  }

  /** The address with the token, as `nbdloop web` has it; over another port where one is given. */
  async url(port = this.port): Promise<string> {
    return (await this.daemon.client.page()).url.replace(`:${this.port}/`, `:${port}/`);
  }

  /** Asks the control API as the page does. Throws what is refused. */
  async ask(method: string, path: string, body: object): Promise<unknown> {
    const { origin, token } = await this.daemon.client.page();
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const response = await fetch(`${origin}/api${path}`, { method, headers, body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return JSON.parse(text);
  }

  /** A client reads and writes this device from now on, some hundred times a second. */
  async keepBusy(device: string): Promise<void> {
    const session = await NbdSession.open(this.daemon.socket, device);
    this.#busy.push(this.#use(session));
  }

  async #use(session: NbdSession): Promise<void> {
    const block = Buffer.alloc(8192, 1);
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      await session.read((turn % 4096) * 4096, 4096);
      if (turn % 3 === 0) await session.write((turn % 1024) * 8192, block);
      if (turn % 8 === 0) await sleep(10);
    }
    session.leave('disc');
  }

  /** Another daemon with the same state and the same address. */
  async restart(): Promise<void> {
    await this.daemon.stop();
    this.daemon = await Daemon.start({ ...this.options, devices: [] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#busy);
    await this.daemon[Symbol.asyncDispose]();
    this.directory[Symbol.dispose]();
  }
}
