/** What Node lets the environment do to a program, and what must not happen to one that runs with rights. */

import inspector from 'node:inspector';

/**
 * Variables by which Node or its OpenSSL run code, open ports or write files on behalf of whoever set them. Node reads
 * some before the first line of ours runs: the first line of each program's file has env(1) remove those, and this list
 * is what our children do not inherit.
 */
const DOORS = [
  'NODE_OPTIONS',
  'NODE_EXTRA_CA_CERTS',
  'NODE_PATH',
  'NODE_V8_COVERAGE',
  'NODE_COMPILE_CACHE',
  'NODE_REDIRECT_WARNINGS',
  'NODE_REPL_EXTERNAL_MODULE',
  'NODE_ICU_DATA',
  'NODE_DEBUG',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'OPENSSL_CONF',
] as const;

/** Closes the inspector, and takes the variables from what we start: for root only; a user may debug what is theirs. */
export function closeDoors(): void {
  if (process.geteuid?.() !== 0) return;
  if (inspector.url() !== undefined) inspector.close();
  for (const name of DOORS) delete process.env[name];
}
