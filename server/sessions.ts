/** Sessions after their handshakes: to their end, or to another process. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerAccess } from './access.js';
import type { OpenedExport } from './export.js';
import type { ServerLog } from './log.js';
import type { Identity } from './negotiation/permissions.js';
import type { PartedSession } from './parted-session.js';
import type { Peer } from './peers.js';
import type { Adopted, ReactorPool } from './reactor/reactor-pool.js';
import { SecuredSessions } from './secured-sessions.js';
import { isFault } from './session/link.js';
import { close } from './system/sockets.js';

/** Of all sessions that go to another process, bytes that were received and not served: those beyond end here. */
const MOST_LEFTOVER = 4 << 20;

export interface SessionsParts {
  readonly reactors: Pick<ReactorPool, 'adopt' | 'part' | 'drop'>;
  readonly log: ServerLog;
  /** The pre-shared key of a user, now. */
  readonly keyOf: (user: string) => Buffer | undefined;
}

export class Sessions {
  readonly #secured = new SecuredSessions();
  /** Those without TLS, by their numbers in the pool. */
  readonly #plain = new Map<number, { readonly peer: Peer; readonly adopted: Adopted }>();

  constructor(private readonly parts: SessionsParts) {}

  /** The socket and the export are the session's from here on. `identity`: what its client has shown in TLS; undefined: it has none. */
  serve(peer: Peer, adopted: Adopted, identity: Identity | undefined): void {
    const { opened } = adopted;
    const { reactors, keyOf } = this.parts;
    peer.exportName = opened.info.name;
    const id = reactors.adopt(adopted, (reason) => {
      this.#secured.delete(peer);
      this.#plain.delete(id);
      this.ended(peer, opened, reason);
    });
    if (identity === undefined) {
      this.#plain.set(id, { peer, adopted });
      return;
    }
    this.#secured.add(peer, {
      identity,
      key: identity.psk === undefined ? undefined : keyOf(identity.psk),
      isReadOnly: opened.info.readOnly,
      names: () => opened.names(),
      drop: (reason) => reactors.drop(id, reason),
    });
  }

  /** Counts it out, and closes its export. */
  ended(peer: Peer, opened: OpenedExport, reason: string): void {
    const { log } = this.parts;
    const about = { peer: peer.name, export: opened.info.name, reason };
    if (isFault(reason)) log.error(about, 'a connection was ended');
    else log.info(about, 'disconnected');
    peer.leave();
    void opened.release();
  }

  /** As `SecuredSessions.revoke`. */
  revoke(access: ServerAccess): void {
    this.#secured.revoke(access);
  }

  /**
   * Gives up the sessions without TLS, each between two requests: the sockets are the caller's, and their exports stay open. Resolves
   * when all are given up, or after `timeout` milliseconds: those that are not then stay. What clients have sent ahead is written down
   * between the processes, so that there is a bound to it: whose share is beyond is cut off.
   */
  async part(timeout: number): Promise<PartedSession[]> {
    const parted: PartedSession[] = [];
    let isOver = false;
    let bytes = 0;
    const all = [...this.#plain].map(async ([id, { peer, adopted }]) => {
      const leftover = await this.parts.reactors.part(id);
      if (leftover === undefined) return;
      this.#plain.delete(id);
      peer.leave();
      bytes += leftover.length;
      if (isOver || bytes > MOST_LEFTOVER) close(adopted.fd);
      else parted.push(partedSession(peer, adopted, leftover));
    });
    await Promise.race([Promise.all(all), sleep(timeout)]);
    isOver = true;
    return parted;
  }
}

function partedSession({ origin, since }: Peer, adopted: Adopted, leftover: Uint8Array): PartedSession {
  const { fd, opened, tls: _, leftover: __, ...terms } = adopted;
  if (origin === null) throw new Error('a session with a kernel is not among these');
  return { fd, device: opened.device, terms, origin, since, leftover };
}
