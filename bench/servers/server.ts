/** A server under test, as the bench sees it: how to start it on a file, and where a client finds it. */
import { createServer, connect as netConnect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from '../system/process.js';

/** How a server is to serve; servers run once for all workloads that share a setup. */
export interface Setup {
  /** `memory`: the image is on tmpfs. `disk`: on a file system of a real disk. */
  readonly medium: 'memory' | 'disk';
  readonly transport: 'unix' | 'tcp';
  readonly tls: boolean;
  /** O_DIRECT to the image. */
  readonly direct: boolean;
}

/** Where a server serves from. */
export interface Site {
  readonly setup: Setup;
  /** Absolute path of the image. */
  readonly image: string;
  /** A directory of the server's own, for sockets and configuration. */
  readonly directory: string;
  /** PEM files `server-cert.pem`, `server-key.pem`, `ca-cert.pem`. */
  readonly certificates: string;
}

export interface RunningServer {
  /** Whose CPU and memory count, with all descendants. Undefined where the kernel itself is the server. */
  readonly pid: number | undefined;
  /** An NBD URI, or the path of a file or block device. */
  readonly address: string;
  /** Turns O_DIRECT on and off while requests run. Only nbdloop can. */
  readonly toggleDirect?: (on: boolean) => Promise<void>;
  stop(): Promise<void>;
}

export interface Server {
  readonly name: string;
  /** `floor`: what a row can gain. `ceiling`: no NBD at all, for comparison. Neither takes part in ratios to peers. */
  readonly role: 'ours' | 'peer' | 'floor' | 'ceiling';
  /** One line; undefined where it is not installed. */
  version(): Promise<string | undefined>;
  supports(setup: Setup): boolean;
  start(site: Site): Promise<RunningServer>;
}

/** The export's name at every server. */
export const EXPORT = 'loop0';

export const socketPath = (site: Site): string => `${site.directory}/nbd.sock`;

/** A TCP port of 127.0.0.1 that is free now. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });

/** The URI that fio's and nbdcopy's libnbd takes. */
export const uriOf = (site: Site, port: number): string => {
  const { transport, tls } = site.setup;
  const scheme = tls ? 'nbds' : 'nbd';
  // The certificate is checked by nobody: it is the cipher's cost that is measured, and fio lets no URI name files.
  const options = tls ? ['tls-verify-peer=false'] : [];
  if (transport === 'tcp') return withOptions(`${scheme}://127.0.0.1:${port}/${EXPORT}`, options);
  return withOptions(`${scheme}+unix:///${EXPORT}`, [`socket=${socketPath(site)}`, ...options]);
};

const withOptions = (uri: string, options: readonly string[]): string =>
  options.length === 0 ? uri : `${uri}?${options.join('&')}`;

/** What is told of a server that may still be starting. */
interface Starting {
  readonly alive: () => boolean;
  readonly says: () => string;
}

/** Resolves once the server accepts connections; an error that quotes it where it ended instead. */
export const accepting = (server: Starting, site: Site, port: number): Promise<void> =>
  listening(
    server,
    site.setup.transport === 'tcp' ? { host: '127.0.0.1', port } : { path: socketPath(site) },
  );

type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** The same for any address of the server's. */
export const listening = async (server: Starting, target: Address): Promise<void> => {
  for (let waited = 0; waited < START_LIMIT_MS; waited += 20) {
    if (!server.alive()) throw new Error(`it ended at its start: ${server.says()}`);
    if (await connects(target)) return;
    await sleep(20);
  }
  throw new Error(`it accepts no connection after ${START_LIMIT_MS / 1000} s`);
};

/** A hang limit. */
export const START_LIMIT_MS = 20_000;

const connects = (target: Address): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = netConnect(target);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

export const starting = (daemon: Daemon): Starting => ({
  alive: () => daemon.running,
  says: () => daemon.lastWords,
});

/** The `RunningServer` of a daemon in the foreground, once it accepts. */
export const serving = async (daemon: Daemon, site: Site, port: number): Promise<RunningServer> => {
  try {
    await accepting(starting(daemon), site, port);
  } catch (error) {
    await daemon.stop();
    throw error;
  }
  return { pid: daemon.pid, address: uriOf(site, port), stop: () => daemon.stop() };
};
