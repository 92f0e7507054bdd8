/** Sessions over TLS: who loses its key or its permission can be ended. */
import type { ServerAccess } from './access.js';
import { accessOf, type Identity } from './negotiation/permissions.js';
import type { Peer } from './peers.js';

export interface Secured {
  readonly identity: Identity;
  /** Of the user of a pre-shared key, when it came. */
  readonly key: Buffer | undefined;
  readonly isReadOnly: boolean;
  /** Of its export, now. */
  names(): readonly string[];
  readonly drop: (reason: string) => void;
}

export class SecuredSessions {
  readonly #sessions = new Map<Peer, Secured>();

  add(peer: Peer, session: Secured): void {
    this.#sessions.set(peer, session);
  }

  delete(peer: Peer): void {
    this.#sessions.delete(peer);
  }

  /** Ends those who would not be let in by these rules, or not with as much. */
  revoke(access: ServerAccess): void {
    for (const session of this.#sessions.values()) {
      if (!isEntitled(access, session)) session.drop('its key or its permission was withdrawn');
    }
  }
}

function isEntitled({ tls, permissions = [] }: ServerAccess, session: Secured): boolean {
  const { identity, key, isReadOnly } = session;
  if (identity.psk !== undefined) {
    const now = tls?.context.psk?.get(identity.psk);
    if (now === undefined || key?.equals(now) === false) return false;
  }
  if (permissions.length === 0) return true;
  const access = accessOf(permissions, identity, session.names());
  return access === 'read-write' || (access === 'read-only' && isReadOnly);
}
