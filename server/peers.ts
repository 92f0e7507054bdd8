/** Who is connected: admission, names for the log, and the list that status commands show. */
import type { Socket } from 'node:net';
import { AllowList } from './allow-list.js';
import { ConnectionLimits } from './connection-limits.js';

export interface PeerOptions {
  /** Connections at a time, handshakes included. */
  readonly maxConnections: number;
  /** Connections at a time from one address; Unix sockets do not count. */
  readonly maxConnectionsPerPeer: number;
  /** Addresses and networks that may connect over TCP; empty: all. */
  readonly allow: readonly string[];
}

export interface ConnectionInfo {
  readonly id: number;
  /** 'HOST:PORT', 'unix' or 'kernel'. */
  readonly peer: string;
  /** The export's name; empty during the handshake. */
  readonly export: string;
  /** When it connected, milliseconds since 1970. */
  readonly since: number;
}

/** Where a connection comes from. */
export interface Origin {
  /** Null: over a Unix socket. Empty: a TCP peer that was gone at once. */
  readonly address: string | null;
  /** 0 over a Unix socket. */
  readonly port: number;
}

export interface Peer {
  readonly id: number;
  /** Null: a kernel's. */
  readonly origin: Origin | null;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Set once the handshake is over. */
  exportName: string;
  /** Counts it out; idempotent. */
  readonly leave: () => void;
}

export class Peers {
  readonly #peers = new Map<number, Peer>();
  readonly #limits: ConnectionLimits;
  #allowList: AllowList;
  #lastId = 0;

  /** Throws RangeError for an entry of `allow` that is neither an address nor a network. */
  constructor({ maxConnections, maxConnectionsPerPeer, allow }: PeerOptions) {
    this.#limits = new ConnectionLimits({ total: maxConnections, perPeer: maxConnectionsPerPeer });
    this.#allowList = new AllowList(allow);
  }

  /** For newcomers: who is connected stays. Throws as the constructor does, and changes nothing then. */
  reconfigure({ maxConnections, maxConnectionsPerPeer, allow }: PeerOptions): void {
    this.#allowList = new AllowList(allow);
    this.#limits.change({ total: maxConnections, perPeer: maxConnectionsPerPeer });
  }

  /** Counts an accepted socket in, or says why it may not stay. */
  enter(socket: Socket, transport: 'tcp' | 'unix'): Peer | { readonly refused: string } {
    // A TCP peer that is gone already has no address either.
    const { remoteAddress = '', remotePort = 0 } = socket;
    const origin =
      transport === 'unix' ? { address: null, port: 0 } : { address: remoteAddress, port: remotePort };
    return this.enterFrom(origin, Date.now());
  }

  /** As `enter`, of one who has connected at `since`, milliseconds since 1970. */
  enterFrom(origin: Origin, since: number): Peer | { readonly refused: string } {
    const { address, port } = origin;
    if (address !== null && !this.#allowList.admits(address)) {
      return { refused: `${address || 'a peer without an address'} is not on the allow-list` };
    }
    const leave = this.#limits.enter(address ?? undefined);
    if (leave === undefined) return { refused: `too many connections (from ${address ?? 'unix'})` };
    const id = ++this.#lastId;
    const peer: Peer = {
      ...{ id, origin, since },
      name: address === null ? 'unix' : `${address}:${port}`,
      exportName: '',
      leave: () => {
        this.#peers.delete(id);
        leave();
      },
    };
    this.#peers.set(id, peer);
    return peer;
  }

  /** Counts in a kernel that this machine's administrator attached: no limit applies. */
  enterKernel(exportName: string): Peer {
    const id = ++this.#lastId;
    const peer: Peer = {
      ...{ id, origin: null, name: 'kernel', since: Date.now(), exportName },
      leave: () => this.#peers.delete(id),
    };
    this.#peers.set(id, peer);
    return peer;
  }

  list(): ConnectionInfo[] {
    return [...this.#peers.values()].map(({ id, name, since, exportName }) => ({
      id,
      peer: name,
      export: exportName,
      since,
    }));
  }
}
