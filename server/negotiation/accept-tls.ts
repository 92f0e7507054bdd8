import type { Socket } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';

/**
 * The server's side of the TLS handshake on a socket whose STARTTLS was acknowledged. Rejects when it fails,
 * when a client certificate is wanted and does not verify, when the socket closes, or when `signal` fires; the
 * caller destroys the socket then.
 *
 * Each connection passes through a `tls.Server` of its own that never listens: that is Node's public way to
 * have the client's certificate verified, and there is nothing to tell connections of a shared one apart by.
 */
export const acceptTls = (socket: Socket, options: TlsOptions, signal: AbortSignal): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const server = createServer(options);
    const settle = (act: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('close', onClose);
      act();
    };
    const onAbort = (): void => settle(() => reject(new Error(String(signal.reason))));
    const onClose = (): void => settle(() => reject(new Error('the client left during the TLS handshake')));
    signal.addEventListener('abort', onAbort);
    socket.once('close', onClose);
    server.once('secureConnection', (secure) => settle(() => resolve(secure)));
    server.once('tlsClientError', (error) => settle(() => reject(error)));
    if (signal.aborted) onAbort();
    else server.emit('connection', socket);
  });
