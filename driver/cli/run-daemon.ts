/** The daemon in the foreground, from its command line to its end: what `nbdloopd` and `nbdloop serve` do. */

import { setFlagsFromString } from 'node:v8';
import type { Daemon, DaemonOptions } from '../daemon.js';
import { requireMemoryToStart } from '../group-limits.js';
import { expectKnownProcessor } from '../processor.js';
import { packageVersion } from '../version.js';
import { type DaemonFlags, daemonFlags, rereadFlags } from './daemon-flags.js';
import { CliError, outliveReader, printError } from './fail.js';
import { nbdloopdProgram } from './nbdloopd-program.js';
import { print } from './print.js';
import { type DaemonSignals, daemonSignals } from './signals.js';
import { humanBytes } from './units.js';

const PROGRAM = 'nbdloopd';
/** Requests in flight have this long to finish after SIGTERM, milliseconds. */
const DRAIN_MS = 4000;
/** After this the process ends whatever is left, milliseconds. */
const DEADLINE_MS = 4800;
/** After this, starting is over and has left some MiB free, milliseconds. */
const SETTLED_MS = 1000;

/** Runs until a signal ends it; `words` are the options. Does not return. Throws what is wrong with the options. */
export async function runDaemon(words: readonly string[]): Promise<never> {
  const flags = daemonFlags(nbdloopdProgram, words);
  requireMemoryToStart();
  let endNow = (): void => process.exit(1);
  const signals = daemonSignals(() => endNow());
  outliveReader();
  keepHeapSmall();
  const library = await loadDaemon();
  library.keepLargeMemoryMapped();
  endNow = () => library.endProcess(1);
  abortOnBug(library.endProcess);
  try {
    await serve(flags, { words, library, signals });
  } catch (error) {
    printError(PROGRAM, error);
    library.endProcess(1);
  }
  return library.endProcess(0);
}

type DaemonLibrary = typeof import('../daemon.js');

interface Foreground {
  /** The command line, to be read anew. */
  readonly words: readonly string[];
  readonly library: DaemonLibrary;
  readonly signals: DaemonSignals;
}

/** From start to drain. */
async function serve(flags: DaemonFlags, { words, library, signals }: Foreground): Promise<void> {
  const { startDaemon, endProcess, takeActivatedSockets, ServiceNotifier } = library;
  const manager = new ServiceNotifier();
  const activated = takeActivatedSockets();
  const daemon = await startDaemon({
    ...optionsOf(flags),
    activated,
    reread: () => optionsOf(rereadFlags(nbdloopdProgram, words)),
    settingsFiles: flags.config === undefined ? [] : [flags.config],
  });
  signals.onReload(() => void daemon.reload().catch(() => undefined)); // which has been logged
  print(greeting(daemon));
  manager.ready(`serving ${boundDevices(daemon).length} devices`);
  setTimeout(library.giveFreeMemoryBack, SETTLED_MS).unref();
  await Promise.race([signals.ended, daemon.successor]);
  manager.stopping();
  // Whatever is left then is cut: a service manager would kill us next.
  setTimeout(() => {
    for (const { mount, operations } of daemon.hanging()) {
      const many = operations === 1 ? '1 operation' : `${operations} operations`;
      process.stderr.write(`${PROGRAM}: ended while ${many} on files on ${mount} hung\n`);
    }
    endProcess(0);
  }, DEADLINE_MS).unref();
  await daemon.drain(DRAIN_MS);
}

/** A bug ends us, as it would anyway; but Node's own way waits for threads that wait for connections. */
function abortOnBug(endProcess: (status: number) => never): void {
  process.on('uncaughtException', (error) => {
    process.stderr.write(`${PROGRAM}: ended by a bug: ${error.stack ?? error.message}\n`);
    endProcess(1);
  });
}

/**
 * Has V8 prefer memory to time, on every thread: requests make no garbage, and what loading leaves behind would stay. The
 * young generation keeps its first size, and the old one grows in small steps.
 */
function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--optimize-for-size');
}

/** Every system call of the data path goes through koffi: without it there is nothing to serve with. */
async function loadDaemon(): Promise<DaemonLibrary> {
  expectKnownProcessor(); // before koffi, which may know this processor or not
  try {
    await import('koffi');
  } catch (error) {
    const detail = error instanceof Error ? error.message.split('\n', 1)[0] : String(error);
    throw new CliError(
      'ENOSYS',
      `koffi, which makes the system calls, cannot be loaded on this machine: ${detail}`,
    );
  }
  return import('../daemon.js');
}

function optionsOf(flags: DaemonFlags): DaemonOptions {
  const { device, name, description, config: _config, ...others } = flags;
  const { tlsCert, tlsKey, tlsCa, tlsCrl, tlsPsk, tlsRequire, exclusive, ...rest } = others;
  const tls = {
    cert: tlsCert,
    key: tlsKey,
    ca: tlsCa,
    crl: tlsCrl,
    psk: tlsPsk,
    isRequired: tlsRequire === true,
  };
  const demonstrate = flags.control === undefined && flags.stateDir === undefined;
  const devices = device.map((file, at) => ({
    file,
    exportName: name[at] ?? '',
    description: description[at] ?? '',
  }));
  const lock = exclusive === undefined ? {} : { exclusive: true, waitForLock: exclusive.wait };
  return { ...rest, ...lock, devices, tls, demonstrate };
}

const boundDevices = (daemon: Daemon) =>
  daemon.loops
    .devices()
    .map((device) => device.snapshot())
    .filter(({ file }) => file !== null);

/** Where it serves what, and the two lines that attach the first device. */
function greeting(daemon: Daemon): string {
  const devices = boundDevices(daemon);
  const [first] = devices;
  const lines = [
    `${PROGRAM} ${packageVersion()}, process ${process.pid}, control socket ${daemon.controlPath}`,
  ];
  for (const device of devices) {
    const { name, exportName, file, size } = device;
    const known = exportName === null ? name : `${name} (${exportName})`;
    lines.push(
      `${known}: ${file} (${humanBytes(size)})`,
      ...daemon.uris(exportName ?? name).map((uri) => `  ${uri}`),
    );
  }
  lines.push(...daemon.unrecovered().map(({ name, message }) => `${name} was not brought back: ${message}`));
  if (daemon.page !== null) lines.push(`page: ${daemon.page}`);
  if (first === undefined)
    lines.push(
      'no device yet; nbdlosetup -f --show FILE adds one',
      ...daemon.uris('').map((uri) => `  ${uri}`),
    );
  else if (daemon.addresses.tls) lines.push('Clients must use TLS.');
  else {
    const [socket = ''] = daemon.addresses.unix;
    lines.push(
      'To attach it, as root:',
      '  modprobe nbd',
      `  nbd-client -unix ${socket} -N ${first.name} /dev/nbd${first.number}`,
    );
  }
  return `${lines.join('\n')}\n`;
}
