/** Sees a connection from where it comes in through its handshake to the thread that serves it. */
import type { AddressInfo, Socket } from 'node:net';
import type { MessagePort } from 'node:worker_threads';
import type { ServerAccess } from './access.js';
import { descriptorLimit, lacksDescriptors } from './descriptors.js';
import type { ExportTable, OpenedExport } from './export.js';
import { type Handshake, hangUp, shakeHands } from './handshake.js';
import { type ServedSocket, serveKernel } from './kernel-socket.js';
import { DEFAULT_SERVER_LIMITS, negotiationLimits, type ServerLimits } from './limits.js';
import { type Accepted, type ListenerAccess, Listeners, type UnixSocketOptions } from './listeners.js';
import type { ServerLog } from './log.js';
import type { NegotiationOptions } from './negotiation/options.js';
import type { TransmissionOutcome } from './negotiation/outcome.js';
import { type Identity, permittedExports } from './negotiation/permissions.js';
import type { PartedSession } from './parted-session.js';
import { type ConnectionInfo, type Peer, Peers } from './peers.js';
import { MAX_THREADS, ReactorPool } from './reactor/reactor-pool.js';
import { Refusals } from './refusals.js';
import { CONTEXTS } from './session/contexts.js';
import { Sessions } from './sessions.js';
import { opensslLibrary } from './system/openssl.js';
import { close } from './system/sockets.js';
import { descriptorOf, takeFromNode } from './take-from-node.js';
import { Handshaker } from './tls/handshaker.js';

export type { ServerAccess } from './access.js';
export type { ServerTls } from './handshake.js';
export type { ServedSocket } from './kernel-socket.js';
export type { ServerLimits } from './limits.js';
export type { ListenerAccess, UnixSocketOptions } from './listeners.js';
export type { ServerLog } from './log.js';
export type { ConnectionInfo } from './peers.js';

export interface NbdServerOptions {
  readonly exports: ExportTable;
  readonly log: ServerLog;
  /** URL of the driver's data path module (`DataPathModule`). */
  readonly dataPath: URL;
  /** Makes what each thread's data path is told by. */
  readonly openPort?: (() => MessagePort) | undefined;
  /** Reactor threads, 1 to 16. */
  readonly reactors: number;
  /** Where the kernel is told to keep idle processors awake, for a lone busy client; absent: it is not. */
  readonly cpuLatencyFile?: string | undefined;
  /** False where memory or tasks are too short for one more thread. */
  readonly mayStart?: () => boolean;
  readonly access: ServerAccess;
  /** A reactor died of a bug of ours. */
  readonly onFailure: (error: Error) => void;
}

export class NbdServer {
  readonly #options: NbdServerOptions;
  #access: ServerAccess;
  #limits: ServerLimits;
  readonly #reactors: ReactorPool;
  /** There once TLS is offered. */
  #handshaker: Handshaker | undefined;
  readonly #sessions: Sessions;
  readonly #listeners: Listeners;
  readonly #peers: Peers;
  readonly #handshakes = new Set<AbortController>();
  readonly #refusals: Refusals;
  readonly #descriptors = descriptorLimit();
  #isDraining = false;

  /** Throws RangeError for an entry of `allow` that is neither an address nor a network. */
  constructor(options: NbdServerOptions) {
    const { access } = options;
    this.#options = options;
    this.#access = access;
    this.#limits = { ...DEFAULT_SERVER_LIMITS, ...access.limits };
    this.#peers = new Peers({ ...this.#limits, allow: access.allow ?? [] });
    this.#refusals = new Refusals((reason, count) =>
      options.log.warn({ reason, count }, 'refused a connection'),
    );
    this.#reactors = new ReactorPool({
      ...options,
      onCrowded: (domain) =>
        options.log.warn(
          { domain, threads: MAX_THREADS },
          'a connection shares a thread with other file systems',
        ),
    });
    this.#sessions = new Sessions({
      reactors: this.#reactors,
      log: options.log,
      keyOf: (user) => this.#access.tls?.context.psk?.get(user),
    });
    this.#listeners = new Listeners({
      onAccept: (accepted) => void this.#accept(accepted),
      onError: (error) => options.log.error({ error }, 'a listener failed'),
    });
    this.#offerTls(access);
  }

  /**
   * Changes who may connect: newcomers meet the new rules, sessions go on as they began, unless `revoked` says that those are
   * to end whose pre-shared key is gone or who may not use their export any more. Throws RangeError for an entry of `allow` that is none,
   * and has changed nothing then.
   */
  reconfigure(access: ServerAccess, revoked: 'stay' | 'drop'): void {
    const limits = { ...DEFAULT_SERVER_LIMITS, ...access.limits };
    this.#peers.reconfigure({ ...limits, allow: access.allow ?? [] });
    this.#limits = limits;
    this.#access = access;
    this.#offerTls(access);
    if (revoked === 'stay') return;
    this.#sessions.revoke(access);
  }

  #offerTls({ tls }: ServerAccess): void {
    if (tls === undefined || this.#handshaker !== undefined) return;
    const { log, onFailure } = this.#options;
    this.#handshaker = new Handshaker(onFailure);
    const where = opensslLibrary()?.where;
    if (where !== 'node')
      log.warn({ library: where }, "TLS goes by the system's OpenSSL: Node shows none of its own");
  }

  /** Resolves when every thread serves. */
  async ready(): Promise<void> {
    await this.#reactors.ready();
  }

  /** As `Listeners.tcp`. */
  listenTcp(host: string, port: number, access?: ListenerAccess): Promise<AddressInfo> {
    return this.#listeners.tcp(host, port, access);
  }

  /** As `Listeners.unix`. Handshakes begin at once; requests wait until `ready`. */
  listenUnix(path: string, options?: UnixSocketOptions): Promise<void> {
    return this.#listeners.unix(path, options);
  }

  /** As `Listeners.descriptor`. */
  listenDescriptor(fd: number, transport: 'tcp' | 'unix', access?: ListenerAccess): Promise<void> {
    return this.#listeners.descriptor(fd, transport, access);
  }

  /** To be called after a thaw: requests that found the device frozen are looked at again. */
  wake(): void {
    this.#reactors.wake();
  }

  /** As `serveKernel`. Limits on connections don't apply. */
  serveSocket(fd: number, opened: OpenedExport, leftover?: Uint8Array): ServedSocket {
    return serveKernel(this.#reactors, this.#peers.enterKernel(opened.info.name), fd, opened, leftover);
  }

  /** Ends every session of a device, the kernel's too. */
  dropDevice(device: number, reason: string): void {
    void this.#reactors.dropDevice(device, reason);
  }

  /** Ends every session of a device at once, whatever it has under way. Resolves when they are gone; false: some hang, and go later. */
  endSessions(device: number, reason: string): Promise<boolean> {
    return this.#reactors.dropDevice(device, reason);
  }

  /** True once newcomers are turned away. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  connections(): ConnectionInfo[] {
    return this.#peers.list();
  }

  /** Stops accepting: from now on handshakes hear ERR_SHUTDOWN, while the sessions there are go on. */
  turnAway(): void {
    this.#isDraining = true;
    this.#listeners.close();
  }

  /**
   * Turns newcomers away and gives up the sessions without TLS, for a process that comes at once, as `Sessions.part`. The others
   * stay, to be drained.
   */
  part(timeout: number): Promise<PartedSession[]> {
    this.turnAway();
    return this.#sessions.part(timeout);
  }

  /**
   * Goes on with a session that the process before this one gave up. `name`: of its export. False where whoever has it would not be
   * let in now, or its export can't be had: then its socket is closed.
   */
  async takeUp(name: string, session: PartedSession): Promise<boolean> {
    const { fd, terms, origin, since, leftover } = session;
    const entered = this.#enterAgain(session);
    if ('refused' in entered) {
      this.#refusals.add(entered.refused);
      close(fd);
      return false;
    }
    const exports = origin.address === null ? this.#options.exports : this.#exportsFor({});
    const opened = await exports
      .find(name)
      ?.open()
      .catch(() => undefined);
    if (opened === undefined) {
      entered.leave();
      close(fd);
      return false;
    }
    this.#options.log.info(
      {
        peer: entered.name,
        export: opened.info.name,
        mode: terms.mode,
        since: new Date(since).toISOString(),
      },
      'a session goes on',
    );
    this.#sessions.serve(entered, { ...terms, fd, opened, leftover }, undefined);
    return true;
  }

  #enterAgain({ origin, since }: PartedSession): Peer | { readonly refused: string } {
    const isPlainTcp = origin.address !== null;
    if (isPlainTcp && this.#access.tls?.isRequired === true) return { refused: 'a session without TLS' };
    return this.#peers.enterFrom(origin, since);
  }

  /**
   * Turns newcomers away, answers what was received, ends every connection, then the threads. Connections that
   * take longer than `timeout` milliseconds are cut. Handshakes hear ERR_SHUTDOWN until the rest is over.
   */
  async drain(timeout: number): Promise<void> {
    this.turnAway();
    const hanging = await this.#reactors.close(timeout);
    for (const domain of hanging) {
      this.#options.log.warn(
        { domain },
        'a thread still waits for it: it ends when that does, or with the process',
      );
    }
    for (const handshake of this.#handshakes) handshake.abort('the server is draining');
    await this.#handshaker?.close();
  }

  async #accept({ socket, transport, access }: Accepted): Promise<void> {
    const { log } = this.#options;
    socket.on('error', () => {}); // what it means is told by the handshake's outcome
    const lack = lacksDescriptors(descriptorOf(socket), this.#descriptors);
    const peer = lack === undefined ? this.#peers.enter(socket, transport) : { refused: lack };
    if ('refused' in peer) {
      this.#refusals.add(peer.refused);
      socket.destroy();
      return;
    }
    try {
      const handshake = await this.#shakeHands({ socket, transport, access });
      if (handshake.outcome.kind === 'transmission') {
        this.#handOver(socket, peer, handshake, handshake.outcome);
        return;
      }
      log.debug({ peer: peer.name, outcome: handshake.outcome }, 'handshake ended without an export');
      hangUp(socket, handshake.secure?.stream);
    } catch (error) {
      log.error({ error, peer: peer.name }, 'handshake failed');
      socket.destroy();
    }
    peer.leave();
  }

  /** At the deadline, and at the end of a drain, the socket goes, whatever the handshake waits for. */
  async #shakeHands({ socket, transport, access }: Accepted): Promise<Handshake> {
    const controller = new AbortController();
    controller.signal.addEventListener('abort', () => socket.destroy());
    const deadline = setTimeout(
      () => controller.abort('the handshake took too long'),
      this.#limits.handshakeTimeout,
    );
    this.#handshakes.add(controller);
    try {
      // One handshake keeps to the rules it began with.
      const rules = this.#access;
      const exportsFor = (identity: Identity): ExportTable => this.#exportsFor(identity, rules);
      // A Unix socket's own permissions say who comes in there.
      const plain = transport === 'unix' ? this.#options.exports : exportsFor({});
      const options = this.#negotiationOptions({ access, exports: plain }, controller.signal);
      const handshaker = this.#handshaker;
      const acceptor = rules.tls && handshaker && { handshaker, context: rules.tls.context };
      return await shakeHands(socket, acceptor, options, exportsFor);
    } finally {
      clearTimeout(deadline);
      this.#handshakes.delete(controller);
    }
  }

  /** The exports as one sees them who has shown so much. */
  #exportsFor(identity: Identity, { permissions = [] }: ServerAccess = this.#access): ExportTable {
    const { exports } = this.#options;
    return permissions.length === 0 ? exports : permittedExports(exports, permissions, identity);
  }

  #negotiationOptions(
    { access, exports }: { readonly access: ListenerAccess; readonly exports: ExportTable },
    signal: AbortSignal,
  ): NegotiationOptions {
    const { tls } = this.#access;
    return {
      exports,
      tls: tls === undefined ? 'off' : tls.isRequired ? 'required' : 'optional',
      readOnly: access === 'read-only',
      contexts: CONTEXTS,
      limits: negotiationLimits(this.#limits),
      draining: () => this.#isDraining,
      signal,
    };
  }

  /** Nothing but settled promises is awaited since the outcome: no byte of a plain socket was read in between. */
  #handOver(socket: Socket, peer: Peer, { secure }: Handshake, outcome: TransmissionOutcome): void {
    const { opened, mode } = outcome;
    const about = { peer: peer.name, export: opened.info.name };
    this.#options.log.info({ ...about, mode, tls: secure?.stream.proof.protocol ?? 'none' }, 'connected');
    if (this.#isDraining) {
      socket.destroy();
      this.#sessions.ended(peer, opened, 'the server is draining');
      return;
    }
    const adopted = takeFromNode(socket, secure, outcome, this.#limits.maxPayload);
    if ('lost' in adopted) this.#sessions.ended(peer, opened, adopted.lost);
    else this.#sessions.serve(peer, adopted, secure?.identity);
  }
}
