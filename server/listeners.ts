/** Where clients come in: TCP addresses, Unix sockets, and sockets that were handed to us. */
import { chmod, chown } from 'node:fs/promises';
import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from 'node:net';

/** What clients of a listener may do with any export. */
export type ListenerAccess = 'read-write' | 'read-only';

/** Of a Unix socket's file: permission bits (default 0600), the number of its group (default: ours). */
export interface UnixSocketOptions {
  readonly mode?: number | undefined;
  readonly group?: number | undefined;
  readonly access?: ListenerAccess;
}

/** Milliseconds of silence after which TCP asks whether the peer is still there. */
const KEEP_ALIVE_DELAY = 60_000;

export interface Accepted {
  readonly socket: Socket;
  readonly transport: 'tcp' | 'unix';
  readonly access: ListenerAccess;
}

export interface ListenerEvents {
  readonly onAccept: (accepted: Accepted) => void;
  /** A listener that listened has failed. */
  readonly onError: (error: Error) => void;
}

export class Listeners {
  readonly #events: ListenerEvents;
  readonly #open = new Set<Server>();

  constructor(events: ListenerEvents) {
    this.#events = events;
  }

  /** Listens on an address. Rejects with Node's system error (EADDRINUSE, EACCES, EADDRNOTAVAIL, ...). */
  async tcp(host: string, port: number, access: ListenerAccess = 'read-write'): Promise<AddressInfo> {
    const listener = await this.#listen({ host, port }, 'tcp', access);
    return listener.address() as AddressInfo;
  }

  /**
   * Listens on a Unix socket at a path where nothing is. Nobody but its owner can connect before its file has `group` and `mode`.
   */
  async unix(
    path: string,
    { mode = 0o600, group, access = 'read-write' }: UnixSocketOptions = {},
  ): Promise<void> {
    const before = process.umask(0o177);
    const listening = this.#listen({ path }, 'unix', access); // binds before it returns
    process.umask(before);
    await listening;
    if (group !== undefined) await chown(path, -1, group);
    if (mode !== 0o600) await chmod(path, mode);
  }

  /** Listens on a socket that is bound already (socket activation); it is the server's from here on. */
  async descriptor(
    fd: number,
    transport: 'tcp' | 'unix',
    access: ListenerAccess = 'read-write',
  ): Promise<void> {
    await this.#listen({ fd }, transport, access);
  }

  /** Nobody comes in any more. */
  close(): void {
    for (const listener of this.#open) listener.close();
  }

  async #listen(
    where: ListenOptions | { fd: number },
    transport: 'tcp' | 'unix',
    access: ListenerAccess,
  ): Promise<Server> {
    const options = { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY };
    const listener = createServer(options, (socket) => this.#events.onAccept({ socket, transport, access }));
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(where, () => {
        listener.off('error', reject);
        resolve();
      });
    });
    listener.on('error', this.#events.onError);
    this.#open.add(listener);
    return listener;
  }
}
