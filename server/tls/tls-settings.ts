/** What the server's side of TLS is made of, read once from files: certificates, pre-shared keys, or both. */

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Identity } from '../negotiation/permissions.js';
import type { Proof } from './messages.js';
import { type PskKeys, parsePskFile } from './psk-file.js';
import { TlsContext } from './tls-context.js';

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
export const loadTls = (files: TlsFiles): TlsContext | undefined => {
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
  const material = {
    ...(cert !== undefined && key !== undefined && { cert: read(cert), key: read(key) }),
    ...(ca !== undefined && { ca: read(ca) }),
    ...(crl !== undefined && { crl: read(crl) }),
    ...(psk !== undefined && { psk: parsePsk(psk) }),
  };
  try {
    return new TlsContext(material);
  } catch (error) {
    const named = [cert, key, ca, crl].filter((path) => path !== undefined).join(', ');
    throw new TlsSettingsError('EINVAL', `TLS cannot use ${named || psk}: ${reason(error)}`);
  }
};

/** What a client has shown in its TLS handshake, which is over. */
export const identityOf = ({ psk, certificate: der }: Proof): Identity => {
  const certificate = der && new X509Certificate(der);
  return {
    ...(psk !== undefined && { psk }),
    ...(certificate !== undefined && {
      subject: certificate.subject.split('\n'),
      names: (certificate.subjectAltName ?? '').split(', ').filter((name) => name !== ''),
    }),
  };
};

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
