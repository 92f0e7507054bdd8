/** The client's side of TLS over a socket whose STARTTLS was acknowledged. */

import { readFileSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { PSK_SUITES, parsePskFile } from '../../server/tls/psk-file.js';
import { LoopError } from '../errno.js';
import { asLoopError } from './connect.js';
import type { RemoteAddress } from './uri.js';

/** Files and names, as a user gives them; paths are absolute. */
export interface RemoteTls {
  /** PEM: authorities that the server's certificate must come from; absent: those of this machine. */
  readonly ca?: string | undefined;
  /** PEM: our own certificate, and its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Pre-shared keys in GnuTLS's format; the first, unless `user` names another. */
  readonly psk?: string | undefined;
  readonly user?: string | undefined;
  /** What the server's certificate must be for; absent: the host of the URI. */
  readonly hostname?: string | undefined;
}

/** Where a server has no name: the owner of a Unix socket is known by the path. */
const NAMELESS = 'localhost';

/** What `address` says goes before what was set for all. Throws ENOENT, EACCES and EINVAL of files. */
export function tlsOptions(address: RemoteAddress, set: RemoteTls): ConnectionOptions {
  const { parameters, place } = address;
  const directory = parameters.certificates;
  const inDirectory = (name: string): string | undefined =>
    directory === undefined ? undefined : join(directory, name);
  const pskFile = parameters.pskFile ?? set.psk;
  if (pskFile !== undefined) return pskOptions(pskFile, parameters.user ?? set.user);
  const ca = inDirectory('ca-cert.pem') ?? set.ca;
  // A directory need not hold a client's certificate.
  const cert =
    optional(inDirectory('client-cert.pem')) ?? (set.cert === undefined ? undefined : read(set.cert));
  const key = optional(inDirectory('client-key.pem')) ?? (set.key === undefined ? undefined : read(set.key));
  if ((cert === undefined) !== (key === undefined)) {
    throw new LoopError('EINVAL', 'a TLS certificate and its private key must be given together');
  }
  const named = parameters.hostname ?? set.hostname;
  const name = named ?? (place.kind === 'tcp' ? place.host : NAMELESS);
  const isNameless = named === undefined && place.kind === 'unix';
  return {
    minVersion: 'TLSv1.2',
    host: name,
    ...(isIP(name) === 0 && { servername: name }),
    ...(ca !== undefined && { ca: read(ca) }),
    ...(cert !== undefined && key !== undefined && { cert, key }),
    ...(isNameless && { checkServerIdentity: () => undefined }),
    rejectUnauthorized: parameters.verifyPeer ?? true,
  };
}

/** Rejects with a LoopError when it fails, when the server does not verify, or when `signal` fires. */
export function startTls(
  socket: Socket,
  options: ConnectionOptions,
  signal: AbortSignal,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = connect({ ...options, socket });
    const fail = (error: unknown): void => {
      signal.removeEventListener('abort', onAbort);
      secure.destroy();
      reject(error instanceof LoopError ? error : tlsFailure(error));
    };
    const onAbort = (): void => fail(signal.reason);
    signal.addEventListener('abort', onAbort);
    secure.on('error', fail);
    secure.once('close', () => fail(new Error('the server ended the connection')));
    secure.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort);
      resolve(secure);
    });
    if (signal.aborted) onAbort();
  });
}

const tlsFailure = (error: unknown): LoopError =>
  new LoopError('EACCES', `TLS failed: ${asLoopError(error).message}`);

function pskOptions(path: string, user: string | undefined): ConnectionOptions {
  const keys = parsePskFile(read(path).toString('utf8'));
  if ('line' in keys) throw new LoopError('EINVAL', `line ${keys.line} of ${path} is not 'user:hexkey'`);
  const [first] = keys.keys();
  const identity = user ?? first;
  const psk = identity === undefined ? undefined : keys.get(identity);
  if (identity === undefined || psk === undefined) {
    throw new LoopError('EINVAL', `${path} holds no key${identity === undefined ? '' : ` of ${identity}`}`);
  }
  return {
    minVersion: 'TLSv1.2',
    ciphers: PSK_SUITES,
    pskCallback: () => ({ psk, identity }),
    // The server has shown that it has the key: there is no certificate to look at.
    checkServerIdentity: () => undefined,
  };
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { errno } = asLoopError(error);
    throw new LoopError(errno, `${path} cannot be read`);
  }
}

function optional(path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
