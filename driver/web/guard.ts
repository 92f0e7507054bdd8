/**
 * Who may talk to the page's server. A browser runs pages of others too, so that three things are asked: that it was meant
 * for us (Host: a stranger's name that was made to point here is none of ours), that our own page asks (Origin,
 * Sec-Fetch-Site), and that who opened that knows the token.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import type { ErrorBody } from '../control/messages.js';
import { isLoopback } from '../tcp-addresses.js';

export interface Refused {
  readonly status: 401 | 403 | 421;
  readonly body: ErrorBody;
}

const refused = (status: Refused['status'], errno: string, message: string): Refused => ({
  status,
  body: { errno, message },
});

/** Names that a Host header may have: those of the address that is listened on. */
export class HostNames {
  readonly #names: ReadonlySet<string>;
  readonly #anyAddress: boolean;

  /** `host`: as it was asked for; `addresses`: what that means. */
  constructor(host: string, addresses: readonly string[]) {
    const all = [host, ...addresses].map(bare);
    const isLocal = all.some((name) => isLoopback(name) || name === '::' || name === '0.0.0.0');
    this.#names = new Set([...all, ...(isLocal ? ['localhost', '127.0.0.1', '::1'] : [])]);
    // A name can be made to point anywhere, an address is where it is.
    this.#anyAddress = all.some((name) => name === '::' || name === '0.0.0.0');
  }

  /** The port is not looked at: a tunnel may have another one at its end. */
  has(header: string | undefined): boolean {
    const name = siteOf(`http://${header ?? ''}`)?.hostname;
    if (name === undefined) return false;
    const plain = bare(name);
    return this.#names.has(plain) || (this.#anyAddress && isIP(plain) !== 0);
  }
}

/** As a browser writes it: in lower case, an address in its shortest form, no dot at the end of a name. */
function bare(host: string): string {
  const plain = host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  return isIP(plain) === 6 ? new URL(`http://[${plain.replace(/%.*$/, '')}]`).hostname.slice(1, -1) : plain;
}

/** What a Host or Origin header means. Undefined where it is more than a host and a port, or none. */
function siteOf(address: string): URL | undefined {
  if (!/^https?:\/\/[^/?#@\\\s%]+$/i.test(address) || !URL.canParse(address)) return undefined;
  return new URL(address);
}

/** Why a request gets no answer, whatever it asks for; undefined: it may go on. */
export function strangersRequest(headers: IncomingHttpHeaders, names: HostNames): Refused | undefined {
  const { host, origin } = headers;
  if (!names.has(host)) {
    return refused(421, 'EPERM', `${host || 'a request without a host'} is not where this page is served`);
  }
  if (origin !== undefined && !isSameOrigin(origin, host ?? '')) {
    return refused(403, 'EPERM', `pages of ${origin} may not use this one's server`);
  }
  return undefined;
}

/** Besides, of what only our own page may ask for. */
export function otherSitesRequest(headers: IncomingHttpHeaders): Refused | undefined {
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return undefined;
  return refused(403, 'EPERM', "pages of other sites may not use this one's server");
}

/** A proxy in front may add TLS. A port that goes without saying may be said. */
function isSameOrigin(origin: string, host: string): boolean {
  const from = siteOf(origin);
  const own = from === undefined ? undefined : siteOf(`${from.protocol}//${host}`);
  return own !== undefined && from?.host === own.host;
}

/** `Authorization: Bearer TOKEN`. */
export function tokenRefusal(headers: IncomingHttpHeaders, token: string): Refused | undefined {
  const [, given] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (given !== undefined && isSame(given, token)) return undefined;
  const what = given === undefined ? 'the request lacks the token' : 'the token is not the present one';
  return refused(401, 'EACCES', `${what}; nbdloop web prints the address with it`);
}

/** In a time that does not tell how much of it is right. */
function isSame(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}
