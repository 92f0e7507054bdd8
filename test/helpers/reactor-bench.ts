/** Reactors with real sockets and devices over real files, without a daemon around them. */
import { closeSync, constants, openSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { LockOrder } from '../../driver/locks/lock-order.js';
import { RequestQueue } from '../../driver/queue/request-queue.js';
import { DeviceState, LoFlag } from '../../driver/queue/slots.js';
import { storeBoard } from '../../driver/queue/store-board.js';
import type { StoreDescription } from '../../driver/store/description.js';
import type { OpenedExport } from '../../server/export.js';
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { ReactorPool } from '../../server/reactor/reactor-pool.js';
import { duplicate } from '../../server/system/sockets.js';
import type { PskPair } from './psk-pair.js';
import { ALLOCATION } from './session-bench.js';
import { makeRandomFile, TempDir } from './temp.js';
import { type Ask, encodeAsk, type Reply, ReplyReader } from './transmission-client.js';

/** Bytes that suit direct I/O on any disk. */
export const DIRECT_BLOCK = 4096;

/** A device over one file, as `driver/loop` publishes it. */
export class TestDevice {
  static #made = 0;
  readonly number = TestDevice.#made++;
  readonly queue: RequestQueue;
  /** What it stands on, as its clients are told apart by. */
  domain = 'file system 0:1';
  readonly #fd: number;
  #generation = 0;

  private constructor(
    readonly path: string,
    readonly size: number,
    readonly isDirect: boolean,
    onThaw: () => void,
  ) {
    this.#fd = openSync(path, constants.O_RDWR | (isDirect ? constants.O_DIRECT : 0));
    this.queue = new RequestQueue({ order: new LockOrder(), name: 'loop0', onThaw });
  }

  static async bound(path: string, size: number, isDirect: boolean, onThaw: () => void): Promise<TestDevice> {
    const device = new TestDevice(path, size, isDirect, onThaw);
    await device.bind();
    return device;
  }

  bind(): Promise<void> {
    return this.#publish(DeviceState.BOUND, this.#fd, this.isDirect);
  }

  /** The device over another descriptor of its file, or of another, opened as `flags` say; the caller closes it. */
  async rebind(flags: number, path = this.path): Promise<number> {
    const fd = openSync(path, flags);
    await this.#publish(DeviceState.BOUND, fd, (flags & constants.O_DIRECT) !== 0);
    return fd;
  }

  /** The device over stores that are described. */
  describe(store: StoreDescription): Promise<void> {
    return this.#publish(DeviceState.BOUND, -1, false, store);
  }

  clear(): Promise<void> {
    return this.#publish(DeviceState.UNBOUND, -1, false);
  }

  close(): void {
    closeSync(this.#fd);
  }

  async #publish(state: number, fd: number, isDirect: boolean, store?: StoreDescription): Promise<void> {
    await using frozen = await this.queue.freeze();
    const generation = ++this.#generation;
    const flags = LoFlag.TELLS_HOLES | (isDirect ? LoFlag.DIRECT_IO : 0);
    const size = state === DeviceState.BOUND ? this.size : 0;
    const rest = { flags, blockSize: 512, dioAlignment: DIRECT_BLOCK, offset: 0 };
    frozen.publish({ ...rest, state, fd, size, generation, store });
  }

  get opened(): OpenedExport {
    const blockSizes = { minimum: 1, preferred: 4096, maximum: 32 << 20 };
    const info = {
      name: 'loop0',
      description: '',
      size: this.size,
      readOnly: false,
      fastZero: true,
      blockSizes,
    };
    return {
      info,
      device: this.number,
      shared: this.queue.shared,
      domain: () => this.domain,
      names: () => [info.name],
      release: async () => {},
    };
  }
}

/** The client's end of an adopted connection. */
export class BlockClient {
  readonly closed: Promise<void>;
  readonly #reader: ReplyReader;
  readonly #replies: Reply[] = [];
  #wake: () => void = () => {};
  #isClosed = false;

  constructor(
    readonly socket: Socket,
    readonly mode: ReplyMode,
    /** What the pool said when it closed the connection. */
    readonly reason: Promise<string>,
  ) {
    this.#reader = new ReplyReader(mode);
    socket.on('error', () => {}); // 'close' follows
    socket.on('data', (bytes: Buffer) => {
      this.#replies.push(...this.#reader.read(bytes));
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true;
        this.#wake();
        resolve();
      });
    });
  }

  /** The connection is alone on its reactor, and asked long enough that replies may be begun ahead. */
  allowAnyForm(): void {
    this.#reader.allowsAnyForm = true;
  }

  /** Requests whose bytes the caller sends. */
  expect(...asks: readonly Ask[]): void {
    this.#reader.expect(...asks);
  }

  /** Sends requests; their replies are taken with `replies`. */
  send(...asks: readonly Ask[]): void {
    this.expect(...asks);
    this.socket.write(Buffer.concat(asks.map((ask) => encodeAsk(this.mode, ask))));
  }

  /** The next `count` replies; rejects when the server closes before. */
  async replies(count: number): Promise<Reply[]> {
    while (this.#replies.length < count) {
      if (this.#isClosed) throw new Error(`closed after ${this.#replies.length} of ${count} replies`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#replies.splice(0, count);
  }

  async ask(ask: Ask): Promise<Reply> {
    this.send(ask);
    const [reply] = await this.replies(1);
    if (reply === undefined) throw new Error('no reply');
    return reply;
  }

  /** Replies that came and were not taken. */
  get untaken(): number {
    return this.#replies.length;
  }
}

interface Connecting {
  readonly mode?: ReplyMode;
  /** Bytes it has received before. */
  readonly leftover?: Buffer;
  /** Over TLS. */
  readonly tls?: PskPair;
  /** Sent as soon as the TLS handshake is over, before the connection is handed over. */
  readonly early?: readonly Ask[];
}

export interface ReactorBenchOptions {
  readonly reactors?: number;
  readonly transport?: 'unix' | 'tcp';
  /** A compiled module in test/helpers; the driver's own when absent. */
  readonly dataPath?: string;
  readonly cpuLatencyFile?: string;
}

/** How the pool knows a connection, and how it is given to it again. */
interface Adoption {
  id: number;
  readonly adopt: (leftover: Uint8Array) => number;
}

function withResolvers(): { readonly promise: Promise<string>; readonly resolve: (reason: string) => void } {
  let resolve = (_: string): void => {};
  const promise = new Promise<string>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

const REAL = '../../driver/queue/queue-rq.js';

export class ReactorBench implements AsyncDisposable {
  readonly files = new TempDir();
  readonly pool: ReactorPool;
  readonly failures: Error[] = [];
  readonly #transport: 'unix' | 'tcp';
  readonly #devices: TestDevice[] = [];
  readonly #sockets: Socket[] = [];
  readonly #adopted = new Map<BlockClient, Adoption>();
  #isClosed = false;

  private constructor(options: ReactorBenchOptions) {
    const { reactors = 1, transport = 'unix', dataPath = REAL, cpuLatencyFile } = options;
    this.#transport = transport;
    this.pool = new ReactorPool({
      reactors,
      dataPath: new URL(dataPath, import.meta.url),
      openPort: () => storeBoard.openPort(),
      cpuLatencyFile,
      onFailure: (error) => this.failures.push(error),
    });
  }

  static async start(options: ReactorBenchOptions = {}): Promise<ReactorBench> {
    const bench = new ReactorBench(options);
    await bench.pool.ready();
    return bench;
  }

  /** A device over a new file of random bytes. `isDirect`: used past the page cache. */
  async device(bytes: number, { isDirect = false } = {}): Promise<TestDevice> {
    const path = makeRandomFile(this.files.file(`${this.#devices.length}.img`), bytes);
    const device = await TestDevice.bound(path, bytes, isDirect, () => this.pool.wake());
    this.#devices.push(device);
    return device;
  }

  /** A connection to a device that a reactor has adopted. */
  async connect(
    device: TestDevice,
    { mode = 'simple', leftover = Buffer.alloc(0), tls, early = [] }: Connecting = {},
  ): Promise<BlockClient> {
    const [near, far] = await this.#pair();
    this.#sockets.push(near);
    const secure =
      tls && (await tls.shake(near, far, Buffer.concat(early.map((ask) => encodeAsk(mode, ask)))));
    const fd = duplicate((far as unknown as { readonly _handle: { readonly fd: number } })._handle.fd);
    far.destroy();
    const { opened } = device;
    const contexts = mode === 'simple' ? [] : ALLOCATION;
    const { promise: reason, resolve } = withResolvers();
    const adopt = (rest: Uint8Array): number =>
      this.pool.adopt(
        { fd, opened, mode, contexts, minimumBlock: 1, readOnly: false, leftover: rest, tls: secure?.ssl },
        resolve,
      );
    const client = new BlockClient(secure?.stream ?? near, mode, reason);
    client.expect(...early);
    this.#adopted.set(client, { id: adopt(secure?.leftover ?? leftover), adopt });
    return client;
  }

  /** Has a connection given up between two requests, and adopted again. False when it ended instead. */
  async handOver(client: BlockClient): Promise<boolean> {
    return (await this.handOverWith(client)) !== undefined;
  }

  /** As `handOver`, with what was left over; undefined when it ended instead. */
  async handOverWith(client: BlockClient): Promise<Uint8Array | undefined> {
    const held = this.#adopted.get(client);
    const leftover = held && (await this.pool.part(held.id));
    if (held === undefined || leftover === undefined) return undefined;
    held.id = held.adopt(leftover);
    return leftover;
  }

  /** Has the pool end a connection. */
  drop(client: BlockClient, reason: string): void {
    const held = this.#adopted.get(client);
    if (held !== undefined) this.pool.drop(held.id, reason);
  }

  /** Both ends of a new connection. */
  async #pair(): Promise<[near: Socket, far: Socket]> {
    const server: Server = createServer({ pauseOnConnect: true, noDelay: true });
    const path = this.files.file('socket');
    const where = this.#transport === 'unix' ? { path } : { host: '127.0.0.1', port: 0 };
    await new Promise<void>((resolve) => server.listen(where, resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const far = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const near = this.#transport === 'unix' ? connect(path) : connect(port, '127.0.0.1');
    const pair: [Socket, Socket] = [near, await far];
    server.close();
    return pair;
  }

  /** Drains and ends the reactors; the rest of the bench stays. */
  async close(timeout = 5000): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.pool.close(timeout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.close();
    for (const device of this.#devices) device.close();
    this.files[Symbol.dispose]();
    for (const failure of this.failures) throw failure;
  }
}
