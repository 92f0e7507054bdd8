import type { Socket } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { hasProvedKey } from './tls-settings.js';

/**
 * The server's side of the TLS handshake on a socket whose STARTTLS was acknowledged. Rejects when it fails,
 * when a client certificate is wanted and does not verify (a client that proves a pre-shared key needs none), when the
 * socket closes, or when `signal` fires; the caller destroys the socket then.
 *
 * Each connection passes through a `tls.Server` of its own that never listens: that is Node's public way to
 * have the client's certificate verified, and there is nothing to tell connections of a shared one apart by.
 */
export const acceptTls = (socket: Socket, options: TlsOptions, signal: AbortSignal): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    // Who has no certificate is judged by us: from Node 24 on, one with a key would be turned away as well.
    const server = createServer({ ...options, rejectUnauthorized: false });
    const settle = (act: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('close', onClose);
      act();
    };
    const onAbort = (): void => settle(() => reject(new Error(String(signal.reason))));
    const onClose = (): void => settle(() => reject(new Error('the client left during the TLS handshake')));
    signal.addEventListener('abort', onAbort);
    socket.once('close', onClose);
    server.once('secureConnection', (secure) => {
      if (options.requestCert !== true || secure.authorized || hasProvedKey(secure))
        settle(() => resolve(secure));
      else settle(() => reject(new Error('the client has no certificate that verifies')));
    });
    server.once('tlsClientError', (error) => settle(() => reject(error)));
    if (signal.aborted) onAbort();
    else server.emit('connection', socket);
  });
