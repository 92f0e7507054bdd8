/** Which addresses of this machine a listener's host means, and who can reach them. */

import { lookup } from 'node:dns/promises';
import { isIP, isIPv4 } from 'node:net';
import { LoopError } from './errno.js';

/** A host that stands for several addresses: one that this machine lacks does not stop the others. */
export interface HostAddresses {
  readonly addresses: readonly string[];
  readonly need: 'all' | 'any';
}

/** The addresses of every interface: IPv6 with IPv4 in it. */
export const ANY = '::';
/** The same where there is no IPv6. */
export const ANY_IPV4 = '0.0.0.0';

/**
 * `localhost` is the loopback of both families, whatever the resolver says of it; another name is all it resolves to.
 * EADDRNOTAVAIL for a name that nobody knows.
 */
export async function addressesOf(host: string): Promise<HostAddresses> {
  if (isIP(host.split('%', 1)[0] ?? '') !== 0) return { addresses: [host], need: 'all' };
  if (host === 'localhost') return { addresses: ['127.0.0.1', '::1'], need: 'any' };
  try {
    const found = await lookup(host, { all: true });
    return { addresses: [...new Set(found.map(({ address }) => address))], need: 'any' };
  } catch {
    throw new LoopError('EADDRNOTAVAIL', `${host} is no address of this machine`);
  }
}

/** `127.0.0.1:10809`, `[::1]:10809`. */
export const addressText = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** True where only this machine's own programs can connect. */
export function isLoopback(address: string): boolean {
  const bare = address.toLowerCase().replace(/^::ffff:/, '');
  return isIPv4(bare) ? bare.startsWith('127.') : bare === '::1';
}
