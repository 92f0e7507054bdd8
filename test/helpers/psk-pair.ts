/** Both ends of TLS by a pre-shared key: Node's client, and the server's side up to its hand-over to a reactor. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { acceptTls } from '../../server/tls/accept-tls.js';
import { Handshaker } from '../../server/tls/handshaker.js';
import { TlsContext } from '../../server/tls/tls-context.js';
import type { TlsStream } from '../../server/tls/tls-stream.js';

export const PSK_KEY = Buffer.alloc(32, 0x5a);

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

export class PskPair implements AsyncDisposable {
  readonly #handshaker = new Handshaker((error) => {
    throw error;
  });
  readonly #context = new TlsContext({ psk: new Map([['alice', PSK_KEY]]) });

  constructor(readonly version: TlsVersion) {}

  /** The client's stream, and what a reactor is given. `early`: sent behind the handshake. */
  async shake(
    near: Socket,
    far: Socket,
    early: Buffer,
  ): Promise<{ stream: TLSSocket; ssl: number; leftover: Buffer }> {
    const stream = connect({
      socket: near,
      pskCallback: () => ({ identity: 'alice', psk: PSK_KEY }),
      ciphers: 'TLS_AES_128_GCM_SHA256:PSK',
      checkServerIdentity: () => undefined,
      minVersion: this.version,
      maxVersion: this.version,
    });
    stream.on('error', () => {});
    const [secure] = await Promise.all([this.accept(far), once(stream, 'secureConnect')]);
    if (early.length > 0) {
      stream.write(early);
      await once(far, 'readable');
    }
    const handed = secure.handOver();
    if (handed === undefined) throw new Error('the client is gone');
    return { stream, ...handed };
  }

  /** The server's side alone. */
  accept(far: Socket): Promise<TlsStream> {
    const acceptor = { handshaker: this.#handshaker, context: this.#context };
    return acceptTls(far, acceptor, new AbortController().signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handshaker.close();
  }
}
