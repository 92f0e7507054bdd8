/** The composition root: loop devices, NBD server, control API, and their life from start to drain. */

import { mkdir, open, realpath, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { destination, pino } from 'pino';
import { loadTls, type TlsFiles } from '../server/negotiation/tls-settings.js';
import { NbdServer, type ServerLimits, type ServerTls } from '../server/server.js';
import { type Claim, claimSocket } from './control/claim.js';
import { CONTROL_SOCKET, defaultRunDirectory, NBD_SOCKET } from './control/run-directory.js';
import { type Addresses, exportUris } from './control/uris.js';
import { LoopError } from './errno.js';
import { Attachments } from './kernel/attachments.js';
import { endProcess } from './kernel/exit.js';
import { NbdClientAttacher } from './kernel/nbd-client.js';
import { KernelLink } from './kernel/netlink/kernel-link.js';
import { NetlinkAttacher } from './kernel/netlink-attacher.js';
import type { NetlinkHost } from './kernel/netlink-device.js';
import type { ActivatedSocket } from './kernel/service-manager.js';
import { LockOrder } from './locks/lock-order.js';
import { LoopExports } from './loop/exports.js';
import { LoopControl } from './loop/loop-control.js';
import { recover, StateKeeper } from './state/recovery.js';
import { StateDirectory } from './state/state-directory.js';
import { packageVersion } from './version.js';

/** Files, and whether clients may do without. */
interface TlsSettings extends TlsFiles {
  readonly isRequired: boolean;
}

/** Port 0 is any free one. */
interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** What the daemon is asked to do; absent fields take the defaults of DESIGN section 7. */
export interface DaemonOptions {
  /** Files to bind at start, in order. */
  readonly devices: readonly string[];
  readonly listen: readonly TcpAddress[];
  /** The same for clients that may only read. */
  readonly listenRo?: readonly TcpAddress[];
  /** NBD over a Unix socket at this path. */
  readonly unix?: string;
  readonly control?: string;
  readonly stateDir?: string;
  /** At the end every device stays as it is in the kernel, for the next daemon. */
  readonly handover?: boolean;
  /** Threads that serve connections. */
  readonly reactors?: number;
  readonly maxConnections?: number;
  readonly maxConnectionsPerPeer?: number;
  /** Seconds from accept to the end of the handshake. */
  readonly handshakeTimeout?: number;
  /** Networks whose clients are served over TCP; empty: all. */
  readonly allow?: readonly string[];
  readonly tls?: TlsSettings;
  /** Listening sockets that a service manager opened for us. */
  readonly activated?: readonly ActivatedSocket[];
  readonly logLevel: string;
  /** Without files, make a sparse disk and serve that. */
  readonly demonstrate: boolean;
}

/** A daemon that serves. */
export interface Daemon {
  readonly loops: LoopControl;
  readonly addresses: Addresses;
  readonly controlPath: string;
  uris(name: string): readonly string[];
  /** Refuses new work, lets requests in flight finish, closes everything. Within `timeoutMs`. Idempotent. */
  drain(timeoutMs: number): Promise<void>;
}

export { ServiceNotifier, takeActivatedSockets } from './kernel/service-manager.js';
export { endProcess };

/** FileDescriptorName= of an activated socket whose clients may only read. */
const READ_ONLY_SOCKET = 'nbd-ro';
const DEMONSTRATION_BYTES = 1024 ** 3;
const DATA_PATH = new URL('./queue/queue-rq.js', import.meta.url);

/**
 * Starts everything, or nothing: what was begun is undone before a failure is thrown, as an error with an errno
 * and a sentence. NBD clients are served before the control API loads, which takes longer.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const undo: (() => Promise<void> | void)[] = [];
  try {
    return await start(options, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
}

async function start(options: DaemonOptions, undo: (() => Promise<void> | void)[]): Promise<Daemon> {
  const log = pino({ level: options.logLevel, base: null }, destination({ fd: 2, sync: true }));
  const tls = tlsOf(options);
  const paths = await socketPaths(options);
  const state = await StateDirectory.open(paths.state);
  undo.push(() => state.close());
  const claims: Claim[] = [];
  for (const path of new Set([paths.control, ...(paths.unixIsOurs ? [paths.unix] : [])])) {
    const claim = await claimSocket(path);
    claims.push(claim);
    undo.push(() => claim.release());
  }

  const order = new LockOrder({ onReport: (report) => log.error({ lockdep: report.text }, report.message) });
  const loops: LoopControl = new LoopControl({ order, log, onThaw: () => server.wake() });
  const reactors = options.reactors ?? Math.max(1, Math.floor(availableParallelism() / 2));
  const exports = new LoopExports(loops, log);
  const server: NbdServer = new NbdServer({
    exports,
    log,
    dataPath: DATA_PATH,
    reactors,
    limits: limitsOf(options),
    allow: options.allow ?? [],
    tls,
    onFailure: (error) => {
      // Its connections are gone and no thread serves new ones: whoever supervises us starts afresh.
      log.fatal({ err: error }, 'a reactor failed');
      endProcess(1);
    },
  });
  undo.push(() => server.drain(0));

  const link = new KernelLink();
  undo.push(() => link.close());
  const attachments = new Attachments({
    attachers: [
      new NetlinkAttacher({ link, log, daemonId: state.daemonId, serve: serveKernel(server, exports) }),
      new NbdClientAttacher(() => ({ unix: paths.unix })),
    ],
    describe: (device) => loops.device(device).describe(),
    onChange: () => keeper.save(),
    log,
  });
  link.events.on('mounts', () => attachments.mountsChanged());
  await recover({ state, loops, attachments, log });
  const keeper = new StateKeeper({ state, loops, attachments, log });
  await bindFiles(loops, options);
  await keeper.save();
  const addresses = await listen(server, options, paths);
  const uris = (name: string): readonly string[] => exportUris(addresses, name);
  const startedAt = new Date().toISOString();
  const { listenControl } = await import('./control/server.js');
  const control = await listenControl(
    {
      loops,
      attachments,
      log,
      uris,
      lockdep: () => order.snapshot(),
      daemon: () => ({
        version: packageVersion(),
        pid: process.pid,
        startedAt,
        listeners: uris(''),
        connections: server.connections().length,
        reactors,
      }),
    },
    paths.control,
  );

  let drained: Promise<void> | undefined;
  const drain = async (timeoutMs: number): Promise<void> => {
    const keep = options.handover === true;
    log.info({ connections: server.connections().length, handover: keep }, 'draining');
    await attachments.close({ keep });
    await keeper.stop({ keep: keep ? 'all' : 'attached' });
    await Promise.all([server.drain(timeoutMs), control.close(), link.close()]);
    for (const claim of claims) claim.release();
    await state.close();
  };
  return {
    loops,
    addresses,
    controlPath: paths.control,
    uris,
    drain: (timeoutMs) => {
      drained ??= drain(timeoutMs);
      return drained;
    },
  };
}

function tlsOf({ tls }: DaemonOptions): ServerTls | undefined {
  const { isRequired = false, ...files } = tls ?? {};
  const loaded = loadTls(files);
  if (loaded !== undefined) return { options: loaded, isRequired };
  if (isRequired) throw new LoopError('EINVAL', 'TLS cannot be required without a certificate or a key file');
  return undefined;
}

/** What is given; the server has defaults for the rest. */
function limitsOf(options: DaemonOptions): Partial<ServerLimits> {
  const { maxConnections, maxConnectionsPerPeer, handshakeTimeout } = options;
  return {
    ...(maxConnections !== undefined && { maxConnections }),
    ...(maxConnectionsPerPeer !== undefined && { maxConnectionsPerPeer }),
    ...(handshakeTimeout !== undefined && { handshakeTimeout: handshakeTimeout * 1000 }),
  };
}

interface SocketPaths {
  readonly control: string;
  readonly unix: string;
  /** False when the service manager made it. */
  readonly unixIsOurs: boolean;
  /** Directory of the state for a restart. */
  readonly state: string;
}

/** The sockets' paths, absolute, in directories that exist. */
async function socketPaths(options: DaemonOptions): Promise<SocketPaths> {
  const inRunDirectory = async (name: string): Promise<string> => {
    const directory = defaultRunDirectory();
    await ownDirectory(directory);
    return join(directory, name);
  };
  const named = async (path: string | undefined, name: string): Promise<string> => {
    if (path === undefined) return inRunDirectory(name);
    await mkdir(dirname(resolve(path)), { recursive: true, mode: 0o700 });
    return resolve(path);
  };
  const control = await named(options.control, CONTROL_SOCKET);
  const given = options.activated?.map(({ address }) => ('unix' in address ? address.unix : undefined)) ?? [];
  const activated = given.find(
    (path) => path !== undefined && (options.unix === undefined || path === options.unix),
  );
  return {
    control,
    unix: activated ?? (await named(options.unix, NBD_SOCKET)),
    unixIsOurs: activated === undefined,
    state: resolve(options.stateDir ?? control.replace(/(\.sock)?$/, '.state')),
  };
}

/** Opens an export for the kernel and serves it on a socket that needs no handshake. */
const serveKernel =
  (server: NbdServer, exports: LoopExports): NetlinkHost['serve'] =>
  async (name, fd) => {
    const found = exports.find(name);
    if (found === undefined) throw new LoopError('ENODEV', `there is no device ${name}`);
    return server.serveSocket(fd, await found.open());
  };

/** In a directory that somebody else made, somebody else could put another daemon's sockets. */
async function ownDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const { uid, mode } = await stat(directory);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new LoopError(
      'EPERM',
      `${directory} is not ours alone; name other places with --unix and --control`,
    );
  }
}

async function bindFiles(loops: LoopControl, options: DaemonOptions): Promise<void> {
  const files = options.devices.map((file) => resolve(file));
  if (files.length === 0 && options.demonstrate) files.push(await demonstrationDisk());
  const present = new Set(loops.devices().map((device) => device.snapshot().file));
  for (const file of files) {
    // The daemon before this one may have left it bound.
    if (!present.has(await realpath(file).catch(() => file))) await loops.findAndConfigure({ file });
  }
}

/** A sparse disk in ./data, made once. */
async function demonstrationDisk(): Promise<string> {
  const file = resolve('data', 'disk.img');
  await mkdir(dirname(file), { recursive: true });
  const handle = await open(file, 'a');
  try {
    if ((await handle.stat()).size === 0) await handle.truncate(DEMONSTRATION_BYTES);
  } finally {
    await handle.close();
  }
  return file;
}

async function listen(server: NbdServer, options: DaemonOptions, paths: SocketPaths): Promise<Addresses> {
  if (paths.unixIsOurs) await server.listenUnix(paths.unix);
  const unix = [paths.unix];
  const tcp: TcpAddress[] = [];
  for (const { fd, name, address } of options.activated ?? []) {
    const access = name === READ_ONLY_SOCKET ? 'read-only' : 'read-write';
    await server.listenDescriptor(fd, 'unix' in address ? 'unix' : 'tcp', access);
    if (!('unix' in address)) tcp.push(address);
    else if (address.unix !== paths.unix) unix.push(address.unix);
  }
  const wanted = [
    ...options.listen.map((address) => ({ ...address, access: 'read-write' as const })),
    ...(options.listenRo ?? []).map((address) => ({ ...address, access: 'read-only' as const })),
  ];
  for (const { host, port, access } of wanted) {
    try {
      const address = await server.listenTcp(host, port, access);
      tcp.push({ host, port: address.port });
    } catch (error) {
      throw listenError(error, host, port);
    }
  }
  return { unix, tcp, tls: options.tls?.isRequired === true };
}

function listenError(error: unknown, host: string, port: number): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const where = `${host}:${port}`;
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
