/** A connection over TLS, up to an export whose requests may follow. */

import type { Duplex } from 'node:stream';
import { LoopError } from '../errno.js';
import { connectTo, Patience } from './connect.js';
import type { ExportFacts } from './facts.js';
import { shakeHands } from './handshake.js';
import { type RemoteTls, startTls, tlsOptions } from './tls.js';
import type { RemoteAddress } from './uri.js';

/** Throws a LoopError that says what is wrong there, without the address. */
export async function negotiateTls(
  address: RemoteAddress,
  tls: RemoteTls,
  outer: AbortSignal,
): Promise<{ readonly facts: ExportFacts; readonly secure: Duplex }> {
  using patience = new Patience(outer);
  const { signal } = patience;
  const options = tlsOptions(address, tls);
  const socket = await connectTo(address, signal);
  try {
    patience.handshake();
    let secure: Duplex | undefined;
    const facts = await shakeHands(socket, {
      exportName: address.exportName,
      startTls: async () => {
        secure = await startTls(socket, options, signal);
        return secure;
      },
      signal,
    });
    if (secure === undefined) throw new LoopError('EPROTO', 'TLS was not begun');
    return { facts, secure };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
