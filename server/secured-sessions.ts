/** Sessions over TLS: who loses its key or its permission can be ended. */
import type { ServerAccess } from './access.js';
import { accessOf, type Identity } from './negotiation/permissions.js';
import type { Peer } from './peers.js';

interface Secured {
  readonly identity: Identity;
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

  /** Ends those who would not be let in by these rules. */
  revoke(access: ServerAccess): void {
    for (const { identity, names, drop } of this.#sessions.values()) {
      if (!isEntitled(access, identity, names())) drop('its key or its permission was withdrawn');
    }
  }
}

function isEntitled(
  { tls, permissions = [] }: ServerAccess,
  identity: Identity,
  names: readonly string[],
): boolean {
  if (identity.psk !== undefined && tls?.context.psk?.has(identity.psk) !== true) return false;
  return permissions.length === 0 || accessOf(permissions, identity, names) !== undefined;
}
