/** Opens the NBD server's listeners, and says plainly what is in the way. */

import type { ListenerAccess, NbdServer } from '../server/server.js';
import type { Addresses } from './control/uris.js';
import { LoopError } from './errno.js';
import type { ActivatedSocket } from './kernel/service-manager.js';

/** Port 0 is any free one. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

export interface Listeners {
  /** A Unix socket to make. */
  readonly unix: string | null;
  readonly activated: readonly ActivatedSocket[];
  readonly tcp: readonly TcpAddress[];
  /** Addresses whose clients may only read. */
  readonly tcpReadOnly: readonly TcpAddress[];
}

/** FileDescriptorName= of an activated socket whose clients may only read. */
const READ_ONLY_SOCKET = 'nbd-ro';

/** Rejects with EADDRINUSE, EACCES or EADDRNOTAVAIL and a sentence that names the address. */
export async function listen(server: NbdServer, listeners: Listeners): Promise<Omit<Addresses, 'tls'>> {
  const unix: string[] = [];
  const tcp: TcpAddress[] = [];
  if (listeners.unix !== null) {
    await server.listenUnix(listeners.unix);
    unix.push(listeners.unix);
  }
  for (const { fd, name, address } of listeners.activated) {
    const access = name === READ_ONLY_SOCKET ? 'read-only' : 'read-write';
    await server.listenDescriptor(fd, 'unix' in address ? 'unix' : 'tcp', access);
    if ('unix' in address) unix.push(address.unix);
    else tcp.push(address);
  }
  for (const address of listeners.tcp) tcp.push(await listenTcp(server, address, 'read-write'));
  for (const address of listeners.tcpReadOnly) tcp.push(await listenTcp(server, address, 'read-only'));
  return { unix, tcp };
}

async function listenTcp(
  server: NbdServer,
  { host, port }: TcpAddress,
  access: ListenerAccess,
): Promise<TcpAddress> {
  try {
    const address = await server.listenTcp(host, port, access);
    return { host, port: address.port };
  } catch (error) {
    throw listenError(error, `${host}:${port}`);
  }
}

function listenError(error: unknown, where: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return new LoopError(
        code,
        `another program listens on ${where}; choose another address with --listen, or none`,
      );
    case 'EACCES':
      return new LoopError(code, `not allowed to listen on ${where}`);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new LoopError('EADDRNOTAVAIL', `${where} is no address of this machine`);
    default:
      return error;
  }
}
