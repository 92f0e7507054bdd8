/** Listens, accepts, and sees a connection through its handshake to the reactor that serves it. */
import { chmod } from 'node:fs/promises';
import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import type { ExportTable } from './export.js';
import { negotiate } from './negotiation/negotiate.js';
import { DEFAULT_LIMITS, type NegotiationOptions } from './negotiation/options.js';
import type { NegotiatedContext, TransmissionOutcome } from './negotiation/outcome.js';
import { ReactorPool } from './transmission/reactor-pool.js';
import { duplicate } from './transmission/sockets.js';
import { TransmissionFlag } from './wire/constants.js';

/** What the server writes its log to; pino's loggers are such. */
export interface ServerLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ServerLimits {
  /** Connections at a time, handshakes included. */
  readonly maxConnections: number;
  /** Connections at a time from one address; Unix sockets do not count. */
  readonly maxConnectionsPerPeer: number;
  /** Milliseconds from accept to the end of the handshake. */
  readonly handshakeTimeout: number;
}

export const DEFAULT_SERVER_LIMITS: ServerLimits = {
  maxConnections: 1024,
  maxConnectionsPerPeer: 512,
  handshakeTimeout: 10_000,
};

export interface NbdServerOptions {
  readonly exports: ExportTable;
  readonly log: ServerLog;
  /** URL of the driver's data path module (`DataPathModule`). */
  readonly dataPath: URL;
  /** Reactor threads, 1 to 16. */
  readonly reactors: number;
  readonly limits?: Partial<ServerLimits>;
  /** A reactor died of a bug of ours. */
  readonly onFailure: (error: Error) => void;
}

export interface ConnectionInfo {
  readonly id: number;
  /** 'HOST:PORT', or 'unix'. */
  readonly peer: string;
  /** The export's name; empty during the handshake. */
  readonly export: string;
}

const CONTEXTS: readonly NegotiatedContext[] = [{ id: 1, name: 'base:allocation' }];

interface Peer {
  readonly id: number;
  readonly name: string;
  /** What `maxConnectionsPerPeer` counts. */
  readonly address: string | undefined;
  exportName: string;
}

export class NbdServer {
  readonly #options: NbdServerOptions;
  readonly #limits: ServerLimits;
  readonly #reactors: ReactorPool;
  readonly #listeners = new Set<Server>();
  readonly #peers = new Map<number, Peer>();
  readonly #perAddress = new Map<string, number>();
  readonly #draining = new AbortController();
  #lastId = 0;

  constructor(options: NbdServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_SERVER_LIMITS, ...options.limits };
    this.#reactors = new ReactorPool(options);
  }

  /** Listens on an address. Rejects with Node's system error (EADDRINUSE, EACCES, EADDRNOTAVAIL, ...). */
  async listenTcp(host: string, port: number): Promise<AddressInfo> {
    const listener = await this.#listen({ host, port });
    return listener.address() as AddressInfo;
  }

  /** Listens on a Unix socket at a path where nothing is. `mode`: of the socket's file. */
  async listenUnix(path: string, mode = 0o600): Promise<void> {
    await this.#listen({ path });
    await chmod(path, mode);
  }

  /** To be called after a thaw: requests that found the device frozen are looked at again. */
  wake(): void {
    this.#reactors.wake();
  }

  connections(): ConnectionInfo[] {
    return [...this.#peers.values()].map(({ id, name, exportName }) => ({
      id,
      peer: name,
      export: exportName,
    }));
  }

  /**
   * Stops accepting, answers what was received, ends every connection, then the threads. Connections that take
   * longer than `timeout` milliseconds are cut.
   */
  async drain(timeout: number): Promise<void> {
    this.#draining.abort('the server is draining');
    for (const listener of this.#listeners) listener.close();
    await this.#reactors.close(timeout);
  }

  async #listen(where: ListenOptions): Promise<Server> {
    await this.#reactors.ready();
    const listener = createServer({ noDelay: true, keepAlive: true }, (socket) => void this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(where, () => {
        listener.off('error', reject);
        resolve();
      });
    });
    listener.on('error', (error) => this.#options.log.error({ error }, 'a listener failed'));
    this.#listeners.add(listener);
    return listener;
  }

  async #accept(socket: Socket): Promise<void> {
    socket.on('error', () => {}); // what it means is told by the handshake's outcome
    const peer = this.#admit(socket);
    if (peer === undefined) {
      socket.destroy();
      return;
    }
    const { log } = this.#options;
    try {
      const outcome = await negotiate(socket, this.#negotiationOptions());
      if (outcome.kind === 'transmission') {
        this.#handOver(socket, peer, outcome);
        return;
      }
      log.debug({ peer: peer.name, outcome }, 'handshake ended without an export');
    } catch (error) {
      log.error({ error, peer: peer.name }, 'handshake failed');
    }
    socket.destroy();
    this.#forget(peer);
  }

  #negotiationOptions(): NegotiationOptions {
    const deadline = AbortSignal.timeout(this.#limits.handshakeTimeout);
    return {
      exports: this.#options.exports,
      tls: 'off',
      readOnly: false,
      contexts: CONTEXTS,
      limits: DEFAULT_LIMITS,
      draining: () => this.#draining.signal.aborted,
      signal: AbortSignal.any([deadline, this.#draining.signal]),
    };
  }

  /** Nothing is awaited between the outcome and the end of Node's socket: no byte is read in between. */
  #handOver(socket: Socket, peer: Peer, outcome: TransmissionOutcome): void {
    const { opened, mode, contexts, leftover } = outcome;
    const { log } = this.#options;
    const fd = duplicate(descriptorOf(socket));
    socket.destroy();
    const release = (reason: string): void => {
      log.info({ peer: peer.name, export: opened.info.name, reason }, 'disconnected');
      this.#forget(peer);
      void opened.release();
    };
    if (fd < 0) {
      release('no descriptor could be had for it');
      return;
    }
    peer.exportName = opened.info.name;
    log.info({ peer: peer.name, export: opened.info.name, mode }, 'connected');
    const minimumBlock = outcome.blockSizesNegotiated ? opened.info.blockSizes.minimum : 1;
    const readOnly = (outcome.transmissionFlags & TransmissionFlag.READ_ONLY) !== 0;
    this.#reactors.adopt({ fd, opened, mode, contexts, minimumBlock, readOnly, leftover }, release);
  }

  /** Counts a connection in; undefined when a limit refuses it. */
  #admit(socket: Socket): Peer | undefined {
    const address = socket.remoteAddress;
    const { maxConnections, maxConnectionsPerPeer } = this.#limits;
    const fromAddress = address === undefined ? 0 : (this.#perAddress.get(address) ?? 0);
    if (this.#peers.size >= maxConnections || fromAddress >= maxConnectionsPerPeer) {
      this.#options.log.warn({ peer: address ?? 'unix' }, 'refused a connection: too many');
      return undefined;
    }
    if (address !== undefined) this.#perAddress.set(address, fromAddress + 1);
    const name = address === undefined ? 'unix' : `${address}:${socket.remotePort}`;
    const peer: Peer = { id: ++this.#lastId, name, address, exportName: '' };
    this.#peers.set(peer.id, peer);
    return peer;
  }

  #forget({ id, address }: Peer): void {
    this.#peers.delete(id);
    if (address === undefined) return;
    const left = (this.#perAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#perAddress.set(address, left);
    else this.#perAddress.delete(address);
  }
}

/** The descriptor of an accepted socket, which Node's types do not show; -1 once it is closed. */
const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { readonly _handle: { readonly fd: number } | null })._handle?.fd ?? -1;
