import type { MessagePort } from 'node:worker_threads';
import type { OpenedExport } from '../export.js';
import type { SessionTerms } from '../session/terms.js';
import { openssl } from '../system/openssl.js';
import { close, setSendBuffer } from '../system/sockets.js';
import type { FromReactor } from './messages.js';
import { ReactorThread } from './reactor-thread.js';

/**
 * Threads with connections are woken so often unasked, milliseconds. No wake is known to be lost; but twice a kernel in an emulated
 * machine had no answer over one of two new sockets, and nobody has found out why (docs/waiting.md).
 */
const NUDGE_MS = 5000;
/** Bytes of replies the kernel may hold for a peer; what zero-copy reads need to be fast. */
const SEND_BUFFER = 2 << 20;
/** Threads at most; each is a lane of every device. */
export const MAX_THREADS = 64;
/** Milliseconds for which a thread beyond the usual ones stays when it has nothing to do. */
const IDLE = 10_000;

/** A connection that has finished its handshake. */
export interface Adopted extends SessionTerms {
  /** A non-blocking stream socket; the pool's from here on. */
  readonly fd: number;
  /** Address of the TLS connection on it (`TlsStream.handOver`), the pool's, too; absent: there is none. */
  readonly tls?: number | undefined;
  readonly opened: OpenedExport;
  /** Bytes received beyond the handshake. */
  readonly leftover: Uint8Array;
}

/** A connection that a thread has. */
interface Open {
  readonly adopted: Adopted;
  readonly onClose: (reason: string) => void;
  thread: ReactorThread;
  /** What it waited for when it was given to its thread. */
  domain: string;
  /** Why it is to end. */
  dropped?: string;
  /** Whoever asked for it to be given up. */
  onParted?: (leftover: Uint8Array | undefined) => void;
}

export interface ReactorPoolOptions {
  /** Threads there are from the start, and at most for what waits for the same: 1 to 16. */
  readonly reactors: number;
  /** URL of the driver's data path module. */
  readonly dataPath: URL;
  /** Makes what each thread's data path is told by (`DataPathModule`); absent: nothing tells it anything. */
  readonly openPort?: (() => MessagePort) | undefined;
  /** What `AwakeCores` opens; undefined: processors sleep as they like. */
  readonly cpuLatencyFile?: string | undefined;
  /** False where memory or tasks are too short for one more thread; absent: they never are. */
  readonly mayStart?: (() => boolean) | undefined;
  /** A reactor died of a bug of ours: its connections are lost. */
  readonly onFailure: (error: Error) => void;
  /** No thread was left: a connection shares one with others that wait for something else. */
  readonly onCrowded?: (domain: string) => void;
}

/** Connections that are dropped are waited for so long, milliseconds. */
const DROP_MS = 5000;

/**
 * The reactors, seen from the main thread.
 *
 * Whatever a request may wait for, a reactor waits for it with all its connections. So connections whose devices stand
 * on different file systems (`OpenedExport.domain`) never share a thread: one that hangs stops those that wait for it
 * anyway. Threads are started as domains come, and one that has no connection left serves the next domain.
 */
export class ReactorPool {
  readonly #options: ReactorPoolOptions;
  readonly #threads: ReactorThread[] = [];
  readonly #open = new Map<number, Open>();
  #lastId = 0;
  #isClosing = false;
  #trim: NodeJS.Timeout | undefined;
  readonly #nudges: NodeJS.Timeout;

  constructor(options: ReactorPoolOptions) {
    this.#options = options;
    for (let i = 0; i < options.reactors; i++) this.#start();
    this.#nudges = setInterval(() => {
      for (const thread of this.#threads) if (thread.connections > 0) thread.nudge();
    }, NUDGE_MS).unref();
  }

  /** Resolves when the threads that there are take connections. */
  async ready(): Promise<void> {
    await Promise.all(this.#threads.map(({ ready }) => ready));
  }

  get connections(): number {
    return this.#open.size;
  }

  /** Threads there are at this moment. */
  get threads(): number {
    return this.#threads.length;
  }

  /** Gives a connection to a reactor. `onClose` is called once, when it is gone. */
  adopt(adopted: Adopted, onClose: (reason: string) => void): number {
    const id = ++this.#lastId;
    const domain = adopted.opened.domain();
    const open: Open = { adopted, onClose, thread: this.#threadFor(domain), domain };
    setSendBuffer(adopted.fd, SEND_BUFFER);
    this.#open.set(id, open);
    this.#hand(id, open, adopted.leftover);
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
      open.thread.tell({ kind: 'part', id });
    });
  }

  /** Ends one connection. */
  drop(id: number, reason: string): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    open.dropped = reason;
    open.thread.tell({ kind: 'drop', id, reason });
  }

  /** Ends the connections of a device; resolves when they are closed, or after a while: false where some are not, whose thread hangs. */
  async dropDevice(device: number, reason: string): Promise<boolean> {
    const ids = [...this.#open]
      .filter(([, { adopted }]) => adopted.opened.device === device)
      .map(([id]) => id);
    for (const id of ids) this.drop(id, reason);
    const limit = performance.now() + DROP_MS;
    while (ids.some((id) => this.#open.has(id)) && performance.now() < limit) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return !ids.some((id) => this.#open.has(id));
  }

  /** Lets connections that wait for a thaw look again; those whose device stands on something else now change threads. */
  wake(): void {
    for (const thread of this.#threads) thread.wake();
    for (const [id, open] of this.#open) {
      const domain = open.adopted.opened.domain();
      if (domain === open.domain || domain === '' || this.#isClosing) continue;
      open.domain = domain;
      open.thread.tell({ kind: 'part', id });
    }
  }

  /**
   * Serves what was received, closes every connection, then ends the threads; by force after `timeout` ms. Resolves
   * with what those wait for that hang: they end when that does, or with the process.
   */
  async close(timeout: number): Promise<string[]> {
    this.#isClosing = true;
    clearTimeout(this.#trim);
    clearInterval(this.#nudges);
    for (const thread of this.#threads) thread.tell({ kind: 'drain' });
    const deadline = performance.now() + timeout;
    while (this.#open.size > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const threads = this.#threads.splice(0);
    const ended = await Promise.all(threads.map((thread) => thread.stop()));
    return threads.filter((_, index) => ended[index] === false).map(({ domain }) => domain);
  }

  #start(): ReactorThread {
    const { dataPath, openPort, cpuLatencyFile, onFailure } = this.#options;
    const taken = new Set(this.#threads.map(({ lane }) => lane));
    let lane = 0;
    while (taken.has(lane)) lane++;
    const onMessage = (message: FromReactor): void => this.#heard(message);
    const thread = new ReactorThread({
      lane,
      dataPath,
      port: openPort?.(),
      cpuLatencyFile,
      onMessage,
      onFailure,
    });
    this.#threads.push(thread);
    return thread;
  }

  /** The one with the fewest connections among those of the domain, of which there are no more than `reactors`. */
  #threadFor(domain: string): ReactorThread {
    const busy = this.#threads.filter(({ connections }) => connections > 0);
    const own = busy.filter((thread) => thread.domain === domain);
    if (own.length >= this.#options.reactors) return leastOf(own);
    const thread = this.#threads.find(({ connections }) => connections === 0) ?? this.#another();
    if (thread !== undefined) {
      thread.domain = domain;
      return thread;
    }
    if (own.length === 0) this.#options.onCrowded?.(domain);
    return leastOf(own.length > 0 ? own : busy);
  }

  /** The next domain had better not wait for a thread to start. */
  #keepSpare(): void {
    if (this.#threads.every(({ connections }) => connections > 0)) this.#another();
  }

  #another(): ReactorThread | undefined {
    const { mayStart } = this.#options;
    return this.#threads.length < MAX_THREADS && mayStart?.() !== false ? this.#start() : undefined;
  }

  #hand(id: number, { thread, adopted, domain }: Open, leftover: Uint8Array): void {
    const { opened, ...connection } = adopted;
    const { device, shared } = opened;
    thread.connections++;
    thread.tell({ kind: 'adopt', id, device, shared, ...connection, leftover, domain });
    this.#keepSpare();
  }

  #heard(message: FromReactor): void {
    if (message.kind === 'closed') this.#closed(message.id, message.reason);
    else if (message.kind === 'parted') this.#parted(message.id, message.leftover);
  }

  #closed(id: number, reason: string): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(id);
    this.#left(open.thread);
    open.onClose(reason);
    open.onParted?.(undefined);
  }

  #parted(id: number, leftover: Uint8Array): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#left(open.thread);
    if (open.onParted === undefined && open.dropped === undefined && !this.#isClosing) {
      this.#move(id, open, leftover);
      return;
    }
    this.#open.delete(id);
    if (open.onParted !== undefined) {
      open.onParted(leftover);
      return;
    }
    const { fd, tls } = open.adopted;
    if (tls !== undefined) openssl().free(tls);
    close(fd);
    open.onClose(open.dropped ?? 'the server is draining');
  }

  /** From what its device stood on to what it stands on now. */
  #move(id: number, open: Open, leftover: Uint8Array): void {
    open.thread = this.#threadFor(open.domain);
    this.#hand(id, open, leftover);
  }

  /** A connection of the thread is gone. */
  #left(thread: ReactorThread): void {
    thread.connections--;
    if (thread.connections === 0 && !this.#isClosing) this.#trim ??= this.#endIdleLater();
  }

  #endIdleLater(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#trim = undefined;
      this.#endIdle();
    }, IDLE).unref();
  }

  /** Ends threads that have nothing to do, but for the usual ones and a spare. */
  #endIdle(): void {
    const idle = this.#threads.filter(({ connections }) => connections === 0);
    const busy = this.#threads.length - idle.length;
    const kept = Math.max(this.#options.reactors - busy, 1);
    for (const thread of idle.slice(kept)) {
      this.#threads.splice(this.#threads.indexOf(thread), 1);
      void thread.stop();
    }
  }
}

const leastOf = (threads: readonly ReactorThread[]): ReactorThread =>
  threads.reduce((a, b) => (b.connections < a.connections ? b : a));
