import type { Socket } from 'node:net';
import type { ExportTable } from './export.js';
import { negotiate, negotiateOverTls } from './negotiation/negotiate.js';
import type { NegotiationOptions } from './negotiation/options.js';
import type { ClosedOutcome, NegotiationOutcome, StartTlsOutcome } from './negotiation/outcome.js';
import type { Identity } from './negotiation/permissions.js';
import { acceptTls, type TlsAcceptor } from './tls/accept-tls.js';
import type { TlsContext } from './tls/tls-context.js';
import { identityOf } from './tls/tls-settings.js';
import type { TlsStream } from './tls/tls-stream.js';

/** TLS on every listener. */
export interface ServerTls {
  /** From `loadTls`. */
  readonly context: TlsContext;
  /** Clients must use it before anything else. */
  readonly isRequired: boolean;
}

/** A client whose TLS handshake is over, and what it has shown there. */
export interface Secure {
  readonly stream: TlsStream;
  readonly identity: Identity;
}

/** How the handshake of a socket ended, and the stream that goes on: the socket itself, or TLS over it. */
export interface Handshake {
  readonly outcome: Exclude<NegotiationOutcome, StartTlsOutcome>;
  readonly secure: Secure | undefined;
}

/**
 * The whole handshake of an accepted socket, through STARTTLS if the client asks. `exportsFor`: what a TLS client sees.
 * Rejects only for our own bugs.
 */
export const shakeHands = async (
  socket: Socket,
  tls: TlsAcceptor | undefined,
  options: NegotiationOptions,
  exportsFor: (identity: Identity) => ExportTable,
): Promise<Handshake> => {
  const outcome = await negotiate(socket, options);
  if (outcome.kind !== 'starttls') return { outcome, secure: undefined };
  // Only a policy that offers TLS lets STARTTLS succeed.
  if (tls === undefined) throw new Error('STARTTLS was acknowledged without TLS');
  let stream: TlsStream;
  try {
    stream = await acceptTls(socket, tls, options.signal);
  } catch (error) {
    return { outcome: tlsFailure(error), secure: undefined };
  }
  stream.on('error', () => {}); // what it means is told by the outcome, or by the end of the stream
  const secure = { stream, identity: identityOf(stream.proof) };
  const exports = exportsFor(secure.identity);
  const resumed = await negotiateOverTls(stream, { ...options, exports }, outcome);
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
export const hangUp = (socket: Socket, secure: TlsStream | undefined): void => {
  if (secure === undefined) {
    socket.destroy();
    return;
  }
  const last = setTimeout(() => secure.destroy(), GOODBYE_MS);
  secure.once('close', () => clearTimeout(last));
  secure.end(() => secure.destroy());
};
