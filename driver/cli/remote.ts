/** nbdloop attach URI: devices of other hosts on the command line, and as text. */

import { resolve } from 'node:path';
import type { ControlClient } from '../control/client.js';
import type { RemoteAttachRequest, RemoteEvent, RemoteStatus, RemoteTlsFiles } from '../control/messages.js';
import { CliError } from './fail.js';
import { humanBytes } from './units.js';

/** True for a word that names an export by its address. */
export const isUri = (word: string): boolean => /^nbds?(?:\+[a-z]+)?:/i.test(word);

/** `URI[,URI...]`: a comma that begins no URI belongs to the one before. */
export const splitUris = (word: string): string[] => word.split(/,(?=nbds?(?:\+[a-z]+)?:)/i).map(absoluteUri);

/** Paths in a URI are the caller's, not the daemon's. */
function absoluteUri(uri: string): string {
  return uri.replace(
    /([?&](?:socket|tls-certificates|tls-psk-file)=)([^&#]*)/g,
    (_, name: string, path: string) => `${name}${encodePath(resolve(decodeURIComponent(path)))}`,
  );
}

const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

export interface RemoteFlags {
  readonly connections?: number;
  readonly timeout?: number;
  readonly deadTimeout?: number;
  readonly readOnly?: true;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsPsk?: string;
  readonly tlsUser?: string;
  readonly tlsHostname?: string;
}

export function remoteRequest(uris: readonly string[], flags: RemoteFlags): RemoteAttachRequest {
  const { tlsCa, tlsCert, tlsKey, tlsPsk, tlsUser, tlsHostname, ...rest } = flags;
  const file = (name: keyof RemoteTlsFiles, path: string | undefined): RemoteTlsFiles =>
    path === undefined ? {} : { [name]: resolve(path) };
  const tls: RemoteTlsFiles = {
    ...file('ca', tlsCa),
    ...file('cert', tlsCert),
    ...file('key', tlsKey),
    ...file('psk', tlsPsk),
    ...(tlsUser !== undefined && { user: tlsUser }),
    ...(tlsHostname !== undefined && { hostname: tlsHostname }),
  };
  return { uris, ...rest, ...(Object.keys(tls).length > 0 && { tls }) };
}

/** The device of this daemon's whose export a URI names: it is attached as what it is. */
export async function ownDevice(client: ControlClient, uris: readonly string[]): Promise<number | undefined> {
  const [uri] = uris;
  if (uris.length !== 1 || uri === undefined) return undefined;
  return (await client.list()).find((device) => device.uris.includes(uri))?.number;
}

/** Flags that only a device of another host takes. */
export function refuseRemoteFlags(flags: RemoteFlags): void {
  const [given] = (
    ['readOnly', 'tlsCa', 'tlsCert', 'tlsKey', 'tlsPsk', 'tlsUser', 'tlsHostname'] as const
  ).filter((name) => flags[name] !== undefined);
  if (given === undefined) return;
  const option = `--${given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new CliError('EINVAL', `${option} is for a URI; a device of this daemon has its own settings`);
}

/** Two lines a device: what it is, and why it is not attached. */
export const remotesText = (remotes: readonly RemoteStatus[]): string =>
  remotes.map((remote) => `${remoteLine(remote)}\n${remoteProblem(remote)}`).join('');

function remoteLine(remote: RemoteStatus): string {
  const { number, node, uri, state, since, size, readOnly, losses, connections } = remote;
  const extra = [
    readOnly && 'ro',
    connections > 1 && `${connections} connections`,
    losses > 0 && `lost ${losses} ${losses === 1 ? 'time' : 'times'}`,
  ].filter((word) => word !== false);
  const details = [humanBytes(size), ...extra].join(', ');
  return `${node ?? `/dev/nbd${number} (not in the kernel)`}: ${uri} ${state} since ${since} (${details})`;
}

const remoteProblem = ({ message, errno }: RemoteStatus): string =>
  message === null ? '' : `  ${message} (${errno})\n`;

/** One device, with the steps that it went through. */
export const remoteText = (remote: RemoteStatus): string =>
  [
    remotesText([remote]),
    ...remote.transitions.map(
      ({ at, from, to, message }) => `  ${at} ${from} -> ${to}${message === null ? '' : `: ${message}`}\n`,
    ),
  ].join('');

/** One line an event. */
export function remoteEventText({ device, remote }: RemoteEvent): string {
  if (remote === null) return `/dev/nbd${device} detached\n`;
  const why = remote.message === null ? remote.uri : remote.message;
  return `/dev/nbd${device} ${remote.state} ${why}\n`;
}
