/** Opens the NBD server's listeners, and says plainly what is in the way. */

import type { ListenerAccess, NbdServer, ServerLog } from '../server/server.js';
import type { Addresses } from './control/uris.js';
import { LoopError } from './errno.js';
import { bindFreely } from './kernel/free-bind.js';
import { type ActivatedSocket, addressOfSocket } from './kernel/service-manager.js';
import { seeDoctor } from './see-doctor.js';
import { ANY, ANY_IPV4, addressesOf, addressText, isLoopback } from './tcp-addresses.js';

/** Port 0 is any free one. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** A Unix socket to make. */
export interface UnixListener {
  readonly path: string;
  /** Permission bits; default 0600. */
  readonly mode?: number | undefined;
  /** Number of the group it belongs to; default: ours. */
  readonly group?: number | undefined;
}

export interface Listeners {
  readonly unix: UnixListener | null;
  readonly activated: readonly ActivatedSocket[];
  readonly tcp: readonly TcpAddress[];
  /** Addresses whose clients may only read. */
  readonly tcpReadOnly: readonly TcpAddress[];
  /** What stands between the network and the exports. */
  readonly guard: Guard;
  /**
   * What becomes of a TCP address that cannot be had: the start fails; or the others are served, since a kernel's devices
   * depend on us, and it is tried again until it can.
   */
  readonly onFailure: 'reject' | 'retry';
  readonly log: ServerLog;
}

/** Who may use an address that other machines can reach. */
export interface Guard {
  readonly tls: 'off' | 'optional' | 'required';
  /** Networks that may connect; empty: all. */
  readonly allow: readonly string[];
  /** The user wants it open to everybody. */
  readonly insecure: boolean;
}

/** FileDescriptorName= of an activated socket whose clients may only read. */
const READ_ONLY_SOCKET = 'nbd-ro';

/**
 * Rejects with EADDRINUSE, EACCES or EADDRNOTAVAIL and a sentence that names the address, or with EPERM where it would be
 * open to every machine and nobody said so.
 */
export async function listen(server: NbdServer, listeners: Listeners): Promise<Omit<Addresses, 'tls'>> {
  const unix: string[] = [];
  const tcp: TcpAddress[] = [];
  if (listeners.unix !== null) {
    const { path, mode, group } = listeners.unix;
    await server.listenUnix(path, { mode, group });
    unix.push(path);
  }
  for (const { fd, name, address } of listeners.activated) {
    const access = name === READ_ONLY_SOCKET ? 'read-only' : 'read-write';
    await server.listenDescriptor(fd, 'unix' in address ? 'unix' : 'tcp', access);
    if ('unix' in address) unix.push(address.unix);
    else {
      // Whoever wrote the socket unit has decided.
      sayWhoMayCome(address, { ...listeners.guard, insecure: true }, listeners.log);
      tcp.push(address);
    }
  }
  for (const [access, addresses] of [
    ['read-write', listeners.tcp],
    ['read-only', listeners.tcpReadOnly],
  ] as const) {
    for (const address of addresses) await listenTcp(server, { address, access, opened: tcp }, listeners);
  }
  return { unix, tcp };
}

/** Milliseconds between two tries for an address that could not be had. */
const RETRY_MS = 2000;

interface TcpListener {
  readonly address: TcpAddress;
  readonly access: ListenerAccess;
  /** Where what it opens is told. */
  readonly opened: TcpAddress[];
}

async function listenTcp(server: NbdServer, wanted: TcpListener, listeners: Listeners): Promise<void> {
  try {
    wanted.opened.push(...(await openAll(server, wanted, listeners)));
  } catch (error) {
    if (listeners.onFailure === 'reject' || server.isDraining) throw error;
    const isFinal = error instanceof LoopError && error.errno === 'EPERM';
    const outlook = isFinal ? '' : `; it is tried again every ${RETRY_MS / 1000} s`;
    listeners.log.error({ err: error }, `${addressText(wanted.address)} cannot be listened on${outlook}`);
    if (isFinal) return;
    setTimeout(() => void listenTcp(server, wanted, listeners).catch(() => undefined), RETRY_MS).unref();
  }
}

/** All addresses that the host means; those of the first port that was free where it is 0. */
async function openAll(
  server: NbdServer,
  { address: { host, port }, access }: TcpListener,
  { guard, log }: Listeners,
): Promise<TcpAddress[]> {
  const { addresses, need } = await addressesOf(host);
  const opened: TcpAddress[] = [];
  let missing: unknown;
  for (const address of addresses) {
    sayWhoMayCome({ host: address, port }, guard, log);
    const wanted = { host: address, port: opened[0]?.port ?? port };
    try {
      opened.push(await openTcp(server, wanted, access));
    } catch (error) {
      if (codeOf(error) !== 'EADDRNOTAVAIL' && codeOf(error) !== 'EAFNOSUPPORT')
        throw listenError(error, wanted);
      missing ??= error;
      if (need === 'all') opened.push(await openLater(server, wanted, access, log));
    }
  }
  if (opened.length === 0) throw listenError(missing, { host, port });
  return opened;
}

/** Every address means those of IPv4 where the machine has no IPv6. */
async function openTcp(
  server: NbdServer,
  { host, port }: TcpAddress,
  access: ListenerAccess,
): Promise<TcpAddress> {
  try {
    return { host, port: (await server.listenTcp(host, port, access)).port };
  } catch (error) {
    const noIpv6 = host === ANY && (codeOf(error) === 'EAFNOSUPPORT' || codeOf(error) === 'EADDRNOTAVAIL');
    if (!noIpv6) throw error;
    return { host: ANY_IPV4, port: (await server.listenTcp(ANY_IPV4, port, access)).port };
  }
}

/** An address that no interface has yet, as at boot: clients are served once one has it. */
async function openLater(
  server: NbdServer,
  wanted: TcpAddress,
  access: ListenerAccess,
  log: ServerLog,
): Promise<TcpAddress> {
  const { host, port } = wanted;
  if (host.includes('%')) throw listenError({ code: 'EADDRNOTAVAIL' }, wanted);
  const fd = bindFreely(host, port);
  const address = addressOfSocket(fd);
  await server.listenDescriptor(fd, 'tcp', access);
  log.warn(
    { address: addressText(wanted) },
    'no interface has this address yet: clients are served once one has',
  );
  return 'port' in address ? { host, port: address.port } : wanted;
}

/** Refuses, or says, that other machines can use the exports without having shown who they are. */
function sayWhoMayCome({ host, port }: TcpAddress, { tls, allow, insecure }: Guard, log: ServerLog): void {
  if (isLoopback(host) || tls === 'required') return;
  const address = addressText({ host, port });
  if (tls === 'off' && allow.length === 0 && !insecure) {
    throw new LoopError(
      'EPERM',
      `without TLS ${address} would be open to every machine that can reach it; use --tls-cert or --tls-psk, --allow NETWORK, or --insecure`,
    );
  }
  const who = allow.length > 0 ? `clients of ${allow.join(', ')}` : 'everybody who can reach this address';
  const how = tls === 'off' ? 'without TLS' : 'with TLS or without (--tls-require would refuse those)';
  log.warn({ address }, `${who} may use the exports, ${how}`);
}

const codeOf = (error: unknown): unknown =>
  typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;

function listenError(error: unknown, { host, port }: TcpAddress): unknown {
  const where = addressText({ host, port });
  const code = codeOf(error);
  switch (code) {
    case 'EADDRINUSE':
      return new LoopError(
        code,
        `another program listens on ${where}; choose another address with --listen, or none`,
      );
    case 'EACCES':
      return new LoopError(code, `not allowed to listen on ${where}`);
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return new LoopError(
        'EADDRNOTAVAIL',
        `${where} is no address of this machine${host.includes(':') ? ` ${seeDoctor('IPv6')}` : ''}`,
      );
    default:
      return error;
  }
}
