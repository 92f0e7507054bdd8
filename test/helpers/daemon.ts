/** The real daemon in a temporary run directory, driven as a user drives it: command line and control socket. */
import { connect, createServer } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient } from '../../driver/control/client.js';
import {
  describeFailure,
  type Ended,
  type RunningProcess,
  run,
  type StartOptions,
  start,
} from './process.js';
import { TempDir } from './temp.js';

export interface DaemonOptions {
  /** Files to bind at start: the first one is loop0. */
  readonly devices?: readonly string[];
  /** More options of nbdloopd. */
  readonly args?: readonly string[];
  /** Also listens on this TCP port of the loopback. */
  readonly port?: number;
  /** Run directory, which the caller removes; a temporary one otherwise. */
  readonly directory?: TempDir;
  /** A program, with its arguments, that becomes the daemon: what it runs under. */
  readonly under?: readonly string[];
  readonly process?: StartOptions;
}

type Program = 'nbdloopd' | 'nbdlosetup' | 'nbdloop';

const entry = (program: Program): string => resolve('dist/bin', `${program}.js`);

/** Milliseconds for the daemon to become ready: a hang limit on a busy machine. */
const READY_LIMIT = 30_000;

export class Daemon implements AsyncDisposable {
  /** The control API. */
  readonly client: ControlClient;

  private constructor(
    readonly process: RunningProcess,
    readonly directory: TempDir,
    private readonly ownsDirectory: boolean,
  ) {
    this.client = new ControlClient(this.control);
  }

  /** Starts nbdloopd and waits until it serves; throws with what it said if it ends before. */
  static async start(options: DaemonOptions = {}): Promise<Daemon> {
    const directory = options.directory ?? new TempDir();
    const daemon = Daemon.launch(directory, options);
    try {
      await daemon.#ready();
      return daemon;
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts nbdloopd without waiting: for daemons that must refuse to run. */
  static launch(directory: TempDir, options: DaemonOptions = {}): Daemon {
    const args = [
      ...['--listen', options.port === undefined ? 'none' : `127.0.0.1:${options.port}`],
      ...['--unix', directory.file('nbd.sock'), '--control', directory.file('control.sock')],
      ...['--state-dir', directory.file('state')],
      ...(options.devices ?? []).flatMap((file) => ['--device', file]),
      ...(options.args ?? []),
    ];
    const [program = '', ...rest] = [...(options.under ?? []), process.execPath, entry('nbdloopd'), ...args];
    const running = start(program, rest, options.process);
    return new Daemon(running, directory, options.directory === undefined);
  }

  get pid(): number {
    return this.process.pid;
  }

  get socket(): string {
    return this.directory.file('nbd.sock');
  }

  get control(): string {
    return this.directory.file('control.sock');
  }

  /** URI of an export over the Unix socket. */
  uri(name = 'loop0'): string {
    return `nbd+unix:///${name}?socket=${this.socket}`;
  }

  /** Runs one of the tools against this daemon. */
  cli(program: 'nbdlosetup' | 'nbdloop', ...args: readonly string[]): Promise<Ended> {
    return run(process.execPath, [entry(program), ...args], { env: { NBDLOOP_CONTROL: this.control } });
  }

  /** Starts one of the tools against this daemon; the caller ends it. */
  startCli(program: 'nbdlosetup' | 'nbdloop', ...args: readonly string[]): RunningProcess {
    return start(process.execPath, [entry(program), ...args], { env: { NBDLOOP_CONTROL: this.control } });
  }

  /** Runs one of the tools, which must succeed; its standard output, trimmed. */
  async cliOk(program: 'nbdlosetup' | 'nbdloop', ...args: readonly string[]): Promise<string> {
    const ended = await this.cli(program, ...args);
    if (ended.status !== 0) throw new Error(describeFailure(program, args, ended));
    return ended.stdout.trim();
  }

  /** SIGTERM, and the end within `limitMs`; after that it is killed and the result says `timedOut`. */
  async stop(limitMs = 20_000): Promise<Ended> {
    this.process.signal('SIGTERM');
    return await this.process.wait(limitMs);
  }

  /** SIGKILL to the daemon, as a crash does it. */
  async kill(): Promise<void> {
    this.process.signal('SIGKILL');
    await this.process.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    if (this.ownsDirectory) this.directory[Symbol.dispose]();
  }

  async #ready(): Promise<void> {
    const limit = Date.now() + READY_LIMIT;
    for (;;) {
      if (this.process.isOver) {
        throw new Error(describeFailure('nbdloopd', [], await this.process.ended));
      }
      if ((await canConnect(this.control)) && (await canConnect(this.socket))) return;
      if (Date.now() > limit) {
        throw new Error(`nbdloopd does not serve:\n${this.process.stdout}${this.process.stderr}`);
      }
      await sleep(20);
    }
  }
}

function canConnect(path: string): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      settle(true);
    });
    socket.once('error', () => settle(false));
  });
}

/** A TCP port of the loopback that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((settle, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => settle(port));
    });
  });
}
