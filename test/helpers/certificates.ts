/** A certificate authority for tests, made with openssl where the test runs: no key is ever stored. */
import { writeFileSync } from 'node:fs';
import { runOk } from './process.js';
import type { TempDir } from './temp.js';
import { tool } from './tools.js';

export interface Pair {
  /** Paths of PEM files. */
  readonly cert: string;
  readonly key: string;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A certificate that vouches for itself; valid for a day, like all here. */
export async function selfSigned(dir: TempDir, name: string): Promise<Pair> {
  const pair = { cert: dir.file(`${name}-cert.pem`), key: dir.file(`${name}-key.pem`) };
  const args = ['req', '-x509', ...NEW_KEY, '-days', '1', '-subj', `/CN=${name}`];
  await runOk(tool('openssl'), [...args, '-keyout', pair.key, '-out', pair.cert]);
  return pair;
}

/** A certificate for `name` that `authority` signed, good for localhost. */
export async function signedBy(dir: TempDir, authority: Pair, name: string): Promise<Pair> {
  const pair = { cert: dir.file(`${name}-cert.pem`), key: dir.file(`${name}-key.pem`) };
  const request = dir.file(`${name}.csr`);
  const extensions = dir.file(`${name}.ext`);
  writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  const subject = ['-subj', `/CN=${name}`];
  await runOk(tool('openssl'), ['req', ...NEW_KEY, ...subject, '-keyout', pair.key, '-out', request]);
  const by = ['-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial'];
  const sign = ['x509', '-req', '-in', request, ...by, '-days', '1', '-extfile', extensions];
  await runOk(tool('openssl'), [...sign, '-out', pair.cert]);
  return pair;
}
