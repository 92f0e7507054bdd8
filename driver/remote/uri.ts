/** NBD URIs (doc/uri.md of the NetworkBlockDevice project), with the TLS parameters that libnbd understands. */

import { isIPv6 } from 'node:net';
import { isAbsolute } from 'node:path';
import { LoopError } from '../errno.js';

export const DEFAULT_PORT = 10809;

/** Where an export of another host, or of another program, is. */
export interface RemoteAddress {
  /** As it was given. */
  readonly uri: string;
  readonly place:
    | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
    | { readonly kind: 'unix'; readonly path: string };
  /** '' is the server's default export. */
  readonly exportName: string;
  readonly tls: boolean;
  /** Of the URI itself: they go before what was set for all addresses. */
  readonly parameters: UriTls;
}

export interface UriTls {
  /** `tls-certificates`: a directory with ca-cert.pem, client-cert.pem and client-key.pem. */
  readonly certificates?: string;
  /** `tls-psk-file`. */
  readonly pskFile?: string;
  /** The user before the @. */
  readonly user?: string;
  /** `tls-hostname`: what the server's certificate must be for. */
  readonly hostname?: string;
  /** `tls-verify-peer`. */
  readonly verifyPeer?: boolean;
}

/** True for what is meant as an NBD URI. */
export const looksLikeUri = (word: string): boolean => /^nbds?(?:\+[a-z]+)?:/i.test(word);

const SCHEMES: Readonly<Record<string, { readonly kind: 'tcp' | 'unix'; readonly tls: boolean }>> = {
  'nbd:': { kind: 'tcp', tls: false },
  'nbds:': { kind: 'tcp', tls: true },
  'nbd+unix:': { kind: 'unix', tls: false },
  'nbds+unix:': { kind: 'unix', tls: true },
};

/** Throws EINVAL with what is wrong. */
export function parseUri(uri: string): RemoteAddress {
  const refuse = (why: string): never => {
    throw new LoopError('EINVAL', `${uri}: ${why}`);
  };
  const url = URL.canParse(uri) ? new URL(uri) : refuse('this is not a URI');
  const scheme = SCHEMES[url.protocol] ?? refuse('the scheme must be nbd, nbds, nbd+unix or nbds+unix');
  if (!uri.slice(url.protocol.length).startsWith('//')) refuse('// must follow the scheme');
  if (url.password !== '') refuse('a URI holds no password');
  if (url.hash !== '') refuse('a # in the name of an export is written %23');
  const decode = (text: string): string => {
    try {
      return decodeURIComponent(text);
    } catch {
      return refuse('a % that is meant is written %25');
    }
  };
  const parameters = new Map(
    url.search
      .slice(1)
      .split('&')
      .map((pair): [string, string] => [pair.split('=', 1)[0] ?? '', decode(pair.replace(/^[^=]*=?/, ''))]),
  );
  const socket = parameters.get('socket');
  const unix = (): RemoteAddress['place'] => {
    if (url.hostname !== '') refuse('a Unix socket has no host before its path');
    if (socket === undefined) return refuse('it names no socket: add ?socket=/PATH');
    return isAbsolute(socket)
      ? { kind: 'unix', path: socket }
      : refuse('the path of the socket must be absolute');
  };
  const tcp = (): RemoteAddress['place'] => {
    if (socket !== undefined) refuse('a socket belongs to nbd+unix');
    if (url.hostname === '') refuse('it names no host');
    const host = decode(url.hostname.replace(/^\[(.*)\]$/, '$1'));
    return { kind: 'tcp', host, port: url.port === '' ? DEFAULT_PORT : Number(url.port) };
  };
  return {
    uri,
    place: scheme.kind === 'unix' ? unix() : tcp(),
    // One slash is between authority and name; a name may begin with another.
    exportName: decode(url.pathname.replace(/^\//, '')),
    tls: scheme.tls,
    parameters: tlsParameters(parameters, decode(url.username), refuse),
  };
}

function tlsParameters(
  parameters: ReadonlyMap<string, string>,
  user: string,
  refuse: (why: string) => never,
): UriTls {
  const path = (name: string): string | undefined => {
    const value = parameters.get(name);
    return value === undefined || isAbsolute(value) ? value : refuse(`${name} must be an absolute path`);
  };
  const certificates = path('tls-certificates');
  const pskFile = path('tls-psk-file');
  const hostname = parameters.get('tls-hostname');
  const verify = parameters.get('tls-verify-peer');
  return {
    ...(certificates !== undefined && { certificates }),
    ...(pskFile !== undefined && { pskFile }),
    ...(user !== '' && { user }),
    ...(hostname !== undefined && { hostname }),
    ...(verify !== undefined && { verifyPeer: isTrue(verify) }),
  };
}

const isTrue = (text: string): boolean => /^(?:1|true|t|yes|y|on)$/i.test(text);

/** The place as a person reads it: `host:port`, or the socket's path. */
export function placeText({ place }: RemoteAddress): string {
  if (place.kind === 'unix') return place.path;
  return `${isIPv6(place.host) ? `[${place.host}]` : place.host}:${place.port}`;
}
