/** Sessions with a server on the loopback, plain or over TLS, and what the kernel knows of the server's end. */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Opt, Rep } from '../../server/wire/constants.js';
import { HandshakeClient, infoData } from './handshake.js';
import { linkOf } from './open-files.js';

export interface TcpSession {
  /** In transmission, on loop0, with simple replies. */
  readonly client: HandshakeClient;
  /** What the client reads and writes: TLS where it is used. */
  readonly stream: Socket | TLSSocket;
  /** Ports of the connection. */
  readonly ports: Ports;
}

interface Ports {
  readonly server: number;
  readonly client: number;
}

/** Takes loop0, over TLS (whoever the server is) or without. */
export async function openTcpSession(port: number, { tls }: { readonly tls: boolean }): Promise<TcpSession> {
  const socket = connectPlain(port, '127.0.0.1');
  await once(socket, 'connect');
  const ports = { server: port, client: socket.localPort ?? 0 };
  const plain = new HandshakeClient(socket);
  await plain.greet();
  if (!tls) return { client: await go(plain), stream: socket, ports };
  if ((await plain.askOne(Opt.STARTTLS)) !== Rep.ACK) throw new Error('no TLS');
  socket.removeAllListeners('data');
  const stream = connectTls({ socket, rejectUnauthorized: false });
  await once(stream, 'secureConnect');
  return { client: await go(new HandshakeClient(stream)), stream, ports };
}

async function go(client: HandshakeClient): Promise<HandshakeClient> {
  const replies = await client.ask(Opt.GO, infoData('loop0'));
  if (replies.at(-1)?.type !== Rep.ACK) throw new Error('loop0 was refused');
  return client;
}

/** A line of /proc/net/tcp. */
export interface TcpState {
  /** 2: keepalive. */
  readonly timer: number;
  /** Hundredths of a second until it expires. */
  readonly expires: number;
  readonly inode: string;
}

const addressOf = (port: number): string => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;

/** The server's end of a connection. */
export function serverEnd({ server, client }: Ports): TcpState {
  const ends = `${addressOf(server)} ${addressOf(client)} `;
  const line = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .find((line) => line.includes(ends));
  const [, , , , , timer = '', , , , inode = ''] = line?.trim().split(/\s+/) ?? [];
  const [kind = '', expires = ''] = timer.split(':');
  return { timer: Number.parseInt(kind, 16), expires: Number.parseInt(expires, 16), inode };
}

/** This process's descriptors of a socket. */
export function descriptorsOf({ inode }: TcpState): number[] {
  return readdirSync('/proc/self/fd')
    .filter((fd) => linkOf(fd) === `socket:[${inode}]`)
    .map(Number);
}
