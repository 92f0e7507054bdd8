/** The composition root: loop devices, NBD server, control API, and their life from start to drain. */

import { mkdir, open, realpath } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { type AccessSettings, serverAccess } from '../server/access.js';
import { descriptorLimit } from '../server/descriptors.js';
import { NbdServer } from '../server/server.js';
import { type Claim, claimSocket } from './control/claim.js';
import type { ControlContext } from './control/context.js';
import type { ConnectionInfo, DaemonInfo } from './control/messages.js';
import type { ControlServer } from './control/server.js';
import { type SocketPaths, socketPaths } from './control/socket-paths.js';
import { type Addresses, exportUris } from './control/uris.js';
import { openableCpuLatency } from './cpu-latency.js';
import { absolutePath } from './file-name.js';
import { sameFile } from './io/file-identity.js';
import { FileLane } from './io/file-lanes.js';
import { identityOfName } from './io/named-file.js';
import type { Endpoint } from './kernel/attach.js';
import { endProcess } from './kernel/exit.js';
import { groupNumber } from './kernel/group.js';
import type { ActivatedSocket } from './kernel/service-manager.js';
import { isConnected } from './kernel/sysfs.js';
import { KernelParts } from './kernel-parts.js';
import { type Guard, listen, type TcpAddress, type UnixListener } from './listen.js';
import { LockOrder } from './locks/lock-order.js';
import { LoopExports } from './loop/exports.js';
import { LoopControl } from './loop/loop-control.js';
import { lockMemory, OomShield } from './memory.js';
import { isIoFlusher } from './process-start.js';
import { DATA_PATH } from './queue/data-path.js';
import { storeBoard } from './queue/store-board.js';
import { Reload } from './reload.js';
import type { Recovery, Unrecovered } from './state/recovery.js';
import { Successor } from './state/successor.js';
import { packageVersion } from './version.js';
import { Journal } from './web/journal.js';
import type { WebServer } from './web/web-server.js';

/** A file, and what its export is called beside `loopN`; an empty text is none. */
export interface DeviceToBind {
  readonly file: string;
  readonly exportName?: string;
  readonly description?: string;
}

/** What the daemon is asked to do; absent fields take the defaults of DESIGN section 7. */
export interface DaemonOptions extends AccessSettings {
  /** Files to bind at start, in order. */
  readonly devices: readonly DeviceToBind[];
  /** Name of the export that a client gets which names none; empty: there is none; absent: the lowest bound device. */
  readonly defaultExport?: string;
  readonly listen: readonly TcpAddress[];
  /** The same for clients that may only read. */
  readonly listenRo?: readonly TcpAddress[];
  /** NBD over a Unix socket at this path; absent: in the run directory; null: none. */
  readonly unix?: string | null;
  /** Permission bits of the Unix socket's file; absent: 0600. */
  readonly unixMode?: number;
  /** Name or number of the group it belongs to; absent: the process's. */
  readonly unixGroup?: string;
  /** The control API at this path; absent: in the run directory; null: none. */
  readonly control?: string | null;
  /** Absent: beside the control socket. Without both, devices can't be attached to the kernel. */
  readonly stateDir?: string;
  /**
   * Takes over from a daemon that runs with this state; and at the end every device stays as it is in the kernel, for
   * the next daemon.
   */
  readonly handover?: boolean;
  /** At the end exports are forgotten, and their numbers free, but for those of devices that the kernel has. */
  readonly forget?: boolean;
  /** Threads that serve connections. */
  readonly reactors?: number;
  /** Idle processors are kept awake while a lone client is busy. */
  readonly keepAwake?: boolean;
  /** The program's code and C heap stay in memory once they were used. */
  readonly mlock?: boolean;
  /** What a reload reads in place of these options; absent: their files alone are read anew. */
  readonly reread?: () => AccessSettings;
  /** Files whose change is a reason for a reload, besides those of TLS. */
  readonly settingsFiles?: readonly string[];
  /** The page (driver/web) on this address; absent: none. */
  readonly web?: TcpAddress;
  /** Other machines may connect without TLS; absent: an address that they can reach is refused (EPERM). */
  readonly insecure?: boolean;
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
  readonly controlPath: string | null;
  /** Address of the page, with its token; null: there is none. */
  readonly page: string | null;
  /** Devices of the daemon before that could not be brought back. */
  unrecovered(): readonly Unrecovered[];
  /** Resolves when another daemon asks to take over: `drain` then leaves it everything. */
  readonly successor: Promise<void>;
  uris(name: string): readonly string[];
  /** Reads certificates, keys, permissions and limits anew. Throws why they cannot be used: then those before stay. */
  reload(): Promise<void>;
  /** What a drain could not wait for: operations on files that have not come to an end, by the mount they are on. */
  hanging(): readonly { readonly mount: string; readonly operations: number }[];
  /** Refuses new work, lets requests in flight finish, closes everything. Within `timeoutMs`. Idempotent. */
  drain(timeoutMs: number): Promise<void>;
}

export { giveFreeMemoryBack, keepLargeMemoryMapped } from './kernel/malloc.js';
export { ServiceNotifier, takeActivatedSockets } from './kernel/service-manager.js';
export { endProcess };

/** Other clients' requests in flight have this long to finish in a handover, milliseconds. */
const HANDOVER_DRAIN_MS = 300;
/** What a drain leaves behind has at least this long to end, milliseconds. */
const LEAST_WAIT_MS = 200;
/** An operation on a file that takes longer hangs, for whoever wants to end, milliseconds. */
const HANGING_MS = 1000;
const DEMONSTRATION_BYTES = 1024 ** 3;
const NO_FLUSHER =
  'not an I/O flusher (PR_SET_IO_FLUSHER takes CAP_SYS_RESOURCE and Linux 5.6): where memory is short, a device that is ' +
  "attached to this machine's kernel may come to a halt";

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
  const log = pino({ level: options.logLevel, base: null }, standardError());
  if (!isIoFlusher()) log.warn({}, NO_FLUSHER);
  const paths = await socketPaths(options);
  let journal: Journal | undefined;
  const order = new LockOrder({
    onReport: (report) => {
      log.error({ lockdep: report.text }, report.message);
      journal?.lockReport(report.message);
    },
  });
  const loops: LoopControl = new LoopControl({
    order,
    log,
    onThaw: () => server.wake(),
    isTaken: (number) => isConnected(number) && kernel?.attachments.node(number) === null,
  });
  if (options.web !== undefined) journal = new Journal(loops);
  shieldFromOom(loops);
  const reactors = options.reactors ?? defaultReactors(availableParallelism());
  const exports = new LoopExports(loops, { log, defaultExport: options.defaultExport });
  const cpuLatencyFile = options.keepAwake === true ? await openableCpuLatency() : undefined;
  const server: NbdServer = nbdServer(options, { exports, log, reactors, cpuLatencyFile });
  undo.push(() => server.drain(0));
  const reload = reloadOf(options, server, log);
  undo.push(() => reload.close());

  let addresses: Addresses = { unix: [], tcp: [], tls: options.tls?.isRequired === true };
  const endpoint = (): Endpoint | undefined => endpointOf(addresses);
  let kernel: KernelParts | undefined;
  kernel =
    paths.state === null
      ? undefined
      : await KernelParts.start({
          stateDirectory: paths.state,
          predecessor: options.handover === true ? paths.control : null,
          prepare: async () => void (await Promise.all([server.ready(), import('./control/server.js')])),
          loops,
          exports,
          server,
          log,
          endpoint,
        });
  undo.push(() => kernel?.close());
  const claims: Claim[] = [];
  for (const path of paths.ours) {
    const claim = await claimSocket(path);
    claims.push(claim);
    undo.push(() => claim.release());
  }

  await bindFiles({ loops, recovery: kernel?.recovery, log }, options);
  const listeners = await listen(server, {
    unix: unixListener(options, paths),
    activated: options.activated ?? [],
    tcp: options.listen,
    tcpReadOnly: options.listenRo ?? [],
    guard: guardOf(options),
    onFailure: hasAttached(loops, kernel) ? 'retry' : 'reject',
    log,
  });
  addresses = { ...addresses, ...listeners };
  // A client may say what it wants meanwhile; its requests wait for the threads.
  await server.ready();
  if (options.mlock === true) lockMemory();
  await kernel?.recovery.attachAgain();
  const uris = (name: string): readonly string[] => exportUris(addresses, name);
  const startedAt = new Date().toISOString();
  const successor = new Successor(options.handover === true);
  const descriptors = descriptorLimit();
  const info = (): DaemonInfo => ({
    version: packageVersion(),
    pid: process.pid,
    startedAt,
    listeners: uris(''),
    connections: server.connections().length,
    reactors,
    descriptorLimit: Number.isFinite(descriptors) ? descriptors : null,
    settings: reload.state,
  });
  const context: Omit<ControlContext, 'page'> | undefined = kernel && {
    loops,
    attachments: kernel.attachments,
    recovery: kernel.recovery,
    log,
    uris,
    lockdep: () => order.snapshot(),
    handOver: () => successor.appear(),
    daemon: info,
    connections: () => connectionsOf(server),
    reload: () => reload.now(),
  };
  const page =
    options.web === undefined || context === undefined || paths.state === null || journal === undefined
      ? undefined
      : await servePage(context, {
          ...options.web,
          insecure: options.insecure === true,
          stateDirectory: paths.state,
          journal,
          onFailure: hasAttached(loops, kernel) ? 'retry' : 'reject',
        });
  undo.push(() => page?.close());
  const control =
    paths.control === null || context === undefined
      ? undefined
      : await listenControl(paths.control, { ...context, page: page ?? null });

  let drained: Promise<void> | undefined;
  const drain = async (timeoutMs: number): Promise<void> => {
    reload.close();
    await page?.close();
    const handover = successor.isExpected;
    if (!handover) server.turnAway(); // devices may take their time to leave
    log.info({ connections: server.connections().length, handover }, 'draining');
    if (handover && kernel !== undefined) {
      await kernel.handOver();
      // The kernel's requests wait until the process is gone, and with it the locks of state and files.
      if (server.connections().length > 0) await server.drain(Math.min(timeoutMs, HANDOVER_DRAIN_MS));
      for (const claim of claims) claim.release();
      return;
    }
    await kernel?.leave({ forget: options.forget === true }).catch((err: unknown) => {
      log.error({ err }, 'the next daemon finds the devices as they were');
    });
    const deadline = performance.now() + timeoutMs;
    await Promise.all([server.drain(timeoutMs), control?.close()]);
    // The last sessions may have left clears behind. Files are free, then the state is, for the daemon after this one.
    await within(Math.max(deadline - performance.now(), LEAST_WAIT_MS), loops.idle());
    await kernel?.close();
    for (const claim of claims) claim.release();
  };
  return {
    loops,
    addresses,
    controlPath: paths.control,
    page: page?.address().url ?? null,
    successor: successor.appeared,
    unrecovered: () => kernel?.recovery.list() ?? [],
    uris,
    reload: () => reload.now(),
    hanging: () => FileLane.hanging(HANGING_MS),
    drain: (timeoutMs) => {
      drained ??= drain(timeoutMs);
      return drained;
    },
  };
}

/** As many as `--reactors` takes. */
const MOST_REACTORS = 16;

/** Two share two cores with their clients better than one does; beyond, clients need cores too. */
const defaultReactors = (processors: number): number =>
  Math.max(Math.min(2, processors), Math.min(MOST_REACTORS, Math.floor(processors / 2)));

/** Waits for work, but no longer than `timeoutMs`. */
async function within(timeoutMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function shieldFromOom(loops: LoopControl): void {
  const shield = new OomShield();
  loops.events.on('change', () =>
    shield.follow(loops.devices().filter(({ state }) => state !== 'unbound').length),
  );
}

interface ServerParts {
  readonly exports: LoopExports;
  readonly log: Logger;
  readonly reactors: number;
  readonly cpuLatencyFile: string | undefined;
}

function nbdServer(options: DaemonOptions, parts: ServerParts): NbdServer {
  return new NbdServer({
    ...parts,
    dataPath: DATA_PATH,
    openPort: () => storeBoard.openPort(),
    access: serverAccess(options),
    onFailure: (error) => {
      // Its connections are gone and no thread serves new ones: whoever supervises us starts afresh.
      parts.log.fatal({ err: error }, 'a reactor failed');
      endProcess(1);
    },
  });
}

/** What cannot be written there, since the terminal is gone or the disk behind it is full, is lost: we go on. */
function standardError(): DestinationStream {
  const stream = destination({ fd: 2, sync: true });
  stream.on('error', () => undefined);
  return stream;
}

/** The control server loads when the NBD server listens already: it is the larger half of a start. */
async function listenControl(path: string, context: ControlContext): Promise<ControlServer> {
  const server = await import('./control/server.js');
  return server.listenControl(context, path);
}

/** Loads as late as the control server. */
async function servePage(
  context: Omit<ControlContext, 'page'>,
  options: Parameters<typeof WebServer.start>[1],
): Promise<WebServer> {
  const web = await import('./web/web-server.js');
  return web.WebServer.start(context, options);
}

const connectionsOf = (server: NbdServer): ConnectionInfo[] =>
  server.connections().map(({ since, ...rest }) => ({ ...rest, since: new Date(since).toISOString() }));

/** Where a client on this machine connects. */
function endpointOf({ unix: [path], tcp: [address] }: Addresses): Endpoint | undefined {
  return path === undefined ? address : { unix: path };
}

const hasAttached = (loops: LoopControl, kernel: KernelParts | undefined): boolean =>
  kernel !== undefined &&
  loops.devices().some(({ number }) => kernel.attachments.record(number) !== undefined);

function reloadOf(options: DaemonOptions, server: NbdServer, log: Logger): Reload {
  const parts = {
    reread: options.reread ?? (() => options),
    apply: (settings: AccessSettings) =>
      server.reconfigure(serverAccess(settings), settings.dropRevoked === true ? 'drop' : 'stay'),
    files: options.settingsFiles ?? [],
    log,
  };
  return new Reload(parts, options);
}

/** The Unix socket to make; null where there is none, or a service manager made it. */
function unixListener(
  { unixMode: mode, unixGroup }: DaemonOptions,
  { unix, ours }: SocketPaths,
): UnixListener | null {
  if (unix === null || !ours.includes(unix)) return null;
  return { path: unix, mode, group: unixGroup === undefined ? undefined : groupNumber(unixGroup) };
}

function guardOf({ tls, allow = [], insecure = false }: DaemonOptions): Guard {
  const isOn = tls?.cert !== undefined || tls?.psk !== undefined;
  return { tls: tls?.isRequired === true ? 'required' : isOn ? 'optional' : 'off', allow, insecure };
}

interface Binder {
  readonly loops: LoopControl;
  readonly recovery: Recovery | undefined;
  readonly log: Logger;
}

/**
 * Binds what the command line names and the daemon before this one did not have. A device that could not be brought
 * back waits for its file: what has that name by now gets no other number, or its clients would not know.
 */
async function bindFiles({ loops, recovery, log }: Binder, options: DaemonOptions): Promise<void> {
  const devices = [...options.devices];
  if (devices.length === 0 && options.demonstrate) devices.push({ file: await demonstrationDisk() });
  const present = loops.devices().flatMap((device) => device.identity ?? []);
  for (const device of devices) {
    const file = absolutePath(device.file);
    const identity = await identityOfName(file).catch(() => undefined);
    const path = await realpath(file).catch(() => file);
    const waiting = recovery?.waitsFor(path, identity);
    if (waiting !== undefined)
      log.error({ device: waiting.name, file }, 'the file is not bound: its device is down');
    else if (identity === undefined || !present.some((one) => sameFile(one, identity))) {
      await loops.findAndConfigure({ ...device, file });
    }
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
