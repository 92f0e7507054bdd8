/** The composition root: loop devices, NBD server, control API, and their life from start to drain. */

import { availableParallelism } from 'node:os';
import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { type AccessSettings, serverAccess } from '../server/access.js';
import { descriptorLimit } from '../server/descriptors.js';
import { NbdServer } from '../server/server.js';
import { bindFiles } from './bind-files.js';
import { type Claim, claimSocket } from './control/claim.js';
import type { ControlContext } from './control/context.js';
import type { ConnectionInfo, DaemonInfo } from './control/messages.js';
import type { ControlServer } from './control/server.js';
import { type SocketPaths, socketPaths } from './control/socket-paths.js';
import { type Addresses, exportUris } from './control/uris.js';
import { openableCpuLatency } from './cpu-latency.js';
import type { Daemon, DaemonOptions } from './daemon-options.js';
import { drain } from './drain.js';
import { Fencing } from './fencing.js';
import { hasRoomForThread } from './group-limits.js';
import { A_LANE, FileLane } from './io/file-lanes.js';
import type { Endpoint } from './kernel/attach.js';
import { endProcess } from './kernel/exit.js';
import { groupNumber } from './kernel/group.js';
import { isConnected } from './kernel/sysfs.js';
import { KernelParts } from './kernel-parts.js';
import { type Guard, listen, type UnixListener } from './listen.js';
import { LockOrder } from './locks/lock-order.js';
import { LoopExports } from './loop/exports.js';
import { LoopControl } from './loop/loop-control.js';
import { lockMemory, OomShield } from './memory.js';
import { probe } from './probe.js';
import { isIoFlusher } from './process-start.js';
import { DATA_PATH } from './queue/data-path.js';
import { storeBoard } from './queue/store-board.js';
import { Reload } from './reload.js';
import { Renewals } from './renewals.js';
import { seeDoctor } from './see-doctor.js';
import { Successor } from './state/successor.js';
import { packageVersion } from './version.js';
import { Journal } from './web/journal.js';
import type { WebServer } from './web/web-server.js';

export type { Daemon, DaemonOptions, DeviceToBind } from './daemon-options.js';
export { giveFreeMemoryBack, keepLargeMemoryMapped } from './kernel/malloc.js';
export { ServiceNotifier, takeActivatedSockets } from './kernel/service-manager.js';
export { endProcess };

/** An operation on a file that takes longer hangs, for whoever wants to end, milliseconds. */
const HANGING_MS = 1000;
const NO_FLUSHER =
  'not an I/O flusher (PR_SET_IO_FLUSHER takes CAP_SYS_RESOURCE and Linux 5.6): where memory is short, a device that is ' +
  `attached to this machine's kernel may come to a halt ${seeDoctor('rights')}`;

/**
 * Starts everything, or nothing: what was begun is undone before a failure is thrown, as an error with an errno
 * and a sentence. NBD clients are listened to before the control API loads.
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
  FileLane.limit(options.fileOperations ?? A_LANE);
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
  const fencing = new Fencing({
    loops,
    dropSessions: (device, why) => server.dropDevice(device, why),
    onBack: (device) => kernel?.revive(device),
    log,
  });
  undo.push(() => fencing.close());
  const renewals = new Renewals({ loops, log });
  undo.push(() => renewals.close());
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
  // A client may say what it wants meanwhile; its requests wait for the threads. What is needed behind them loads
  // meanwhile; where it can't, the import below says so.
  if (paths.control !== null) import('./control/server.js').catch(() => undefined);
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
    remotes: kernel.remotes,
    probe: (number) => probe({ loops, exports, server }, number),
    log,
    uris,
    lockdep: () => order.snapshot(),
    endSessions: (device, reason) => server.endSessions(device, reason),
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
  return {
    loops,
    remotes: kernel?.remotes,
    addresses,
    controlPath: paths.control,
    page: page?.address().url ?? null,
    successor: successor.appeared,
    unrecovered: () => kernel?.recovery.list() ?? [],
    uris,
    endSessions: (device, reason) => server.endSessions(device, reason),
    reload: () => reload.now(),
    hanging: () => FileLane.hanging(HANGING_MS),
    drain: (timeoutMs) => {
      drained ??= drain(
        {
          server,
          loops,
          kernel,
          control,
          page,
          reload,
          successor,
          claims,
          log,
          forget: options.forget === true,
        },
        timeoutMs,
      );
      return drained;
    },
  };
}

/** As many as `--reactors` takes. */
const MOST_REACTORS = 16;

/** Two share two cores with their clients better than one does; beyond, clients need cores too. */
const defaultReactors = (processors: number): number =>
  Math.max(Math.min(2, processors), Math.min(MOST_REACTORS, Math.floor(processors / 2)));

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
    mayStart: hasRoomForThread,
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

/** The control server loads when the NBD server listens already. */
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
