import type { Socket } from 'node:net';
import type { TLSSocket, TlsOptions } from 'node:tls';
import type { ExportTable } from './export.js';
import { acceptTls } from './negotiation/accept-tls.js';
import { negotiate, negotiateOverTls } from './negotiation/negotiate.js';
import type { NegotiationOptions } from './negotiation/options.js';
import type { ClosedOutcome, NegotiationOutcome, StartTlsOutcome } from './negotiation/outcome.js';
import type { Identity } from './negotiation/permissions.js';
import { identityOf } from './negotiation/tls-settings.js';

/** TLS on every listener. */
export interface ServerTls {
  /** From `loadTls`. */
  readonly options: TlsOptions;
  /** Clients must use it before anything else. */
  readonly isRequired: boolean;
}

/** How the handshake of a socket ended, and the stream that goes on: the socket itself, or TLS over it. */
export interface Handshake {
  readonly outcome: Exclude<NegotiationOutcome, StartTlsOutcome>;
  readonly secure: TLSSocket | undefined;
}

/**
 * The whole handshake of an accepted socket, through STARTTLS if the client asks. `exportsFor`: what a TLS client sees.
 * Rejects only for our own bugs.
 */
export const shakeHands = async (
  socket: Socket,
  tls: TlsOptions | undefined,
  options: NegotiationOptions,
  exportsFor: (identity: Identity) => ExportTable,
): Promise<Handshake> => {
  const outcome = await negotiate(socket, options);
  if (outcome.kind !== 'starttls') return { outcome, secure: undefined };
  // Only a policy that offers TLS lets STARTTLS succeed.
  if (tls === undefined) throw new Error('STARTTLS was acknowledged without TLS');
  let secure: TLSSocket;
  try {
    secure = await acceptTls(socket, tls, options.signal);
  } catch (error) {
    return { outcome: tlsFailure(error), secure: undefined };
  }
  secure.on('error', () => {}); // what it means is told by the outcome, or by the end of the stream
  const exports = exportsFor(identityOf(secure));
  const resumed = await negotiateOverTls(secure, { ...options, exports }, outcome);
  if (resumed.kind === 'starttls') throw new Error('TLS was started in TLS');
  return { outcome: resumed, secure };
};

const tlsFailure = (error: unknown): ClosedOutcome => ({
  kind: 'closed',
  reason: `TLS failed: ${error instanceof Error ? error.message : String(error)}`,
});

/** Milliseconds a client has to take a goodbye over TLS. */
const GOODBYE_MS = 1000;

/** Ends a connection without an export; over TLS the client is told first that it is over. */
export const hangUp = (socket: Socket, secure: TLSSocket | undefined): void => {
  if (secure === undefined) {
    socket.destroy();
    return;
  }
  const last = setTimeout(() => secure.destroy(), GOODBYE_MS);
  secure.once('close', () => clearTimeout(last));
  secure.destroySoon();
};
