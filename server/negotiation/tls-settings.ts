/** What the server's side of TLS is made of, read once from files: certificates, pre-shared keys, or both. */

import { readFileSync } from 'node:fs';
import { createSecureContext, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Identity } from './permissions.js';
import { type PskKeys, parsePskFile } from './psk-file.js';

/** Paths, as the command line gives them. */
export interface TlsFiles {
  /** PEM, the server's certificate and the chain behind it. */
  readonly cert?: string | undefined;
  /** PEM, its private key. */
  readonly key?: string | undefined;
  /** PEM; when given, a client must show a certificate that one of these authorities signed. */
  readonly ca?: string | undefined;
  /** PEM, certificates that these authorities have revoked. */
  readonly crl?: string | undefined;
  /** Pre-shared keys in GnuTLS's format, a `user:hexkey` a line. */
  readonly psk?: string | undefined;
}

/** A setting that cannot work; the message is one sentence for the user. */
export class TlsSettingsError extends Error {
  override readonly name = 'TlsSettingsError';
  constructor(
    /** errno name. */
    readonly errno: string,
    message: string,
  ) {
    super(message);
  }
}

/** Undefined when no file is named. Throws TlsSettingsError when the files are not there or do not fit. */
export const loadTls = (files: TlsFiles): TlsOptions | undefined => {
  const { cert, key, ca, crl, psk } = files;
  if (cert === undefined && key === undefined && ca === undefined && psk === undefined) return undefined;
  if ((cert === undefined) !== (key === undefined)) {
    throw new TlsSettingsError('EINVAL', 'a TLS certificate and its private key must be given together');
  }
  if (ca !== undefined && cert === undefined) {
    throw new TlsSettingsError('EINVAL', 'to verify TLS clients the server needs a certificate of its own');
  }
  if (crl !== undefined && ca === undefined) {
    throw new TlsSettingsError(
      'EINVAL',
      'a list of revoked certificates needs the authorities of clients beside it',
    );
  }
  const keys = psk === undefined ? undefined : parsePsk(psk);
  const options: TlsOptions = {
    minVersion: 'TLSv1.2',
    ...(cert !== undefined && key !== undefined && { cert: read(cert), key: read(key) }),
    ...(ca !== undefined && { ca: read(ca), requestCert: true }),
    ...(crl !== undefined && { crl: read(crl) }),
    ...(keys !== undefined && pskOptions(keys, cert === undefined ? 'only PSK' : 'also PSK')),
  };
  try {
    createSecureContext(options);
  } catch (error) {
    const named = [cert, key, ca, crl].filter((path) => path !== undefined).join(', ');
    throw new TlsSettingsError('EINVAL', `TLS cannot use ${named}: ${reason(error)}`);
  }
  if (keys !== undefined) USERS.set(options, new Set(keys.keys()));
  return options;
};

/** Users of pre-shared keys by the settings that have them. */
const USERS = new WeakMap<TlsOptions, ReadonlySet<string>>();

/** True where a user's pre-shared key is among these settings. */
export const hasPskUser = (options: TlsOptions, user: string): boolean =>
  USERS.get(options)?.has(user) ?? false;

/**
 * The handshake went by a pre-shared key, so the client has it. In TLS 1.3 that is a resumption without a session before;
 * a real one there is not, since each connection has a server, and so ticket keys, of its own (`acceptTls`).
 */
export const hasProvedKey = (secure: TLSSocket): boolean =>
  secure.getProtocol() === 'TLSv1.3' ? secure.isSessionReused() : secure.getCipher().name.includes('PSK');

/**
 * Who the client of a pre-shared key said to be. Said only: OpenSSL asks for the key of a name, and then goes on by
 * certificate where client and server agree on a suite that the key can't be used with.
 */
const PSK_CLIENTS = new WeakMap<TLSSocket, string>();

/** What a client has shown in its TLS handshake, which is over: a certificate only where it was verified. */
export const identityOf = (secure: TLSSocket): Identity => {
  const psk = hasProvedKey(secure) ? PSK_CLIENTS.get(secure) : undefined;
  const certificate = secure.authorized ? secure.getPeerX509Certificate() : undefined;
  return {
    ...(psk !== undefined && { psk }),
    ...(certificate !== undefined && {
      subject: certificate.subject.split('\n'),
      names: (certificate.subjectAltName ?? '').split(', ').filter((name) => name !== ''),
    }),
  };
};

/** Suites with SHA-256 come first: in TLS 1.3 a pre-shared key without a hash of its own is bound to that one. */
const PSK_SUITES = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:ECDHE+PSK+AESGCM:PSK+AESGCM';
const CERTIFICATE_SUITES = 'TLS_AES_256_GCM_SHA384:HIGH:!aNULL:!MD5:!RC4';

const pskOptions = (keys: PskKeys, use: 'only PSK' | 'also PSK'): TlsOptions => ({
  pskCallback: (socket, identity) => {
    const key = keys.get(identity);
    if (key !== undefined) PSK_CLIENTS.set(socket, identity);
    return key ?? null;
  },
  ciphers: use === 'only PSK' ? PSK_SUITES : `${PSK_SUITES}:${CERTIFICATE_SUITES}`,
});

const parsePsk = (path: string): PskKeys => {
  const parsed = parsePskFile(read(path).toString('utf8'));
  if ('line' in parsed) {
    throw new TlsSettingsError('EINVAL', `line ${parsed.line} of ${path} is not 'user:hexkey'`);
  }
  if (parsed.size === 0) throw new TlsSettingsError('EINVAL', `${path} holds no key`);
  return parsed;
};

const read = (path: string): Buffer => {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'EIO';
    throw new TlsSettingsError(code, `${path} cannot be read`);
  }
};

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
