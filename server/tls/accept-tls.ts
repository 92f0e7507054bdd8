import { once } from 'node:events';
import type { Socket } from 'node:net';
import { openssl } from '../system/openssl.js';
import type { Handshaker } from './handshaker.js';
import type { Stepped } from './messages.js';
import type { TlsContext } from './tls-context.js';
import { TlsStream } from './tls-stream.js';

export interface TlsAcceptor {
  readonly handshaker: Handshaker;
  readonly context: TlsContext;
}

/**
 * The server's side of the TLS handshake on a socket whose STARTTLS was acknowledged. Rejects when it fails,
 * when a client certificate is wanted and does not verify (a client that proves a pre-shared key needs none), when the
 * socket closes, or when `signal` fires; the caller destroys the socket then.
 */
export const acceptTls = async (
  socket: Socket,
  { handshaker, context }: TlsAcceptor,
  signal: AbortSignal,
): Promise<TlsStream> => {
  const ssl = context.connect();
  try {
    let claimed: string | undefined;
    for (;;) {
      const input = await received(socket, signal);
      // Whoever leaves meanwhile: the connection is the other thread's until it answers.
      const stepped = await handshaker.step(context, ssl, input, claimed);
      claimed = stepped.claimed;
      await send(socket, stepped);
      if (signal.aborted) throw new Error(String(signal.reason));
      if (stepped.ended === undefined) continue;
      if ('failure' in stepped.ended) throw new Error(stepped.ended.failure);
      return new TlsStream(socket, ssl, stepped.ended.proof);
    }
  } catch (error) {
    openssl().free(ssl);
    throw error;
  }
};

/** What the client has sent, at least something. */
const received = async (socket: Socket, signal: AbortSignal): Promise<Buffer> => {
  for (;;) {
    if (signal.aborted) throw new Error(String(signal.reason));
    const bytes: Buffer | null = socket.destroyed ? null : socket.read();
    if (bytes !== null) return bytes;
    if (socket.destroyed || socket.readableEnded) throw new Error('the client left during the TLS handshake');
    await somethingOf(socket, signal);
  }
};

const EVENTS = ['readable', 'end', 'close', 'error'] as const;

const somethingOf = (socket: Socket, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const settle = (): void => {
      for (const event of EVENTS) socket.off(event, settle);
      signal.removeEventListener('abort', settle);
      resolve();
    };
    for (const event of EVENTS) socket.on(event, settle);
    signal.addEventListener('abort', settle);
  });

/** Waits where it ended in failure: the caller closes the socket behind the alert. */
const send = async (socket: Socket, { output, ended }: Stepped): Promise<void> => {
  if (output.length === 0 || socket.destroyed) return;
  const hasTaken = socket.write(output);
  if (ended !== undefined && 'failure' in ended && !hasTaken)
    await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
};
