import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ControlClient } from '../../driver/control/client.js';
import { Daemon } from '../system/process.js';
import {
  freePort,
  listening,
  type RunningServer,
  type Server,
  type Site,
  serving,
  socketPath,
  starting,
} from './server.js';

/** The daemon as compiled beside this file. */
const PROGRAM = fileURLToPath(new URL('../../bin/nbdloopd.js', import.meta.url));

/** Arguments that make it serve the site's image as loop0, and nothing else. */
export const daemonArguments = (site: Site, port: number, program = PROGRAM): string[] => {
  const { transport, tls } = site.setup;
  const directory = site.directory;
  const certificates = site.certificates;
  return [
    program,
    ...['--control', controlPath(site), '--state-dir', `${directory}/state`, '--device', site.image],
    ...(transport === 'tcp'
      ? ['--listen', `127.0.0.1:${port}`, '--unix', `${directory}/unused.sock`]
      : ['--listen', 'none', '--unix', socketPath(site)]),
    ...(tls
      ? ['--tls-cert', `${certificates}/server-cert.pem`, '--tls-key', `${certificates}/server-key.pem`]
      : []),
    ...(tls ? ['--tls-require'] : []),
    ...['--log-level', 'error'],
  ];
};

const controlPath = (site: Site): string => `${site.directory}/control.sock`;

interface Flags {
  readonly ofNode?: readonly string[];
  readonly ofDaemon?: readonly string[];
  /** Another one than this tree's. */
  readonly program?: string;
}

export const startNbdloop = async (site: Site, flags: Flags = {}): Promise<RunningServer> => {
  const { ofNode = [], ofDaemon = [], program } = flags;
  const port = site.setup.transport === 'tcp' ? await freePort() : 0;
  const daemon = await Daemon.start(process.execPath, [
    ...ofNode,
    ...daemonArguments(site, port, program),
    ...ofDaemon,
  ]);
  const server = await serving(daemon, site, port);
  const control = new ControlClient(controlPath(site));
  const toggleDirect = async (on: boolean) => {
    await control.directIo(0, on);
  };
  try {
    // It serves clients before the control socket is there.
    await listening(starting(daemon), { path: controlPath(site) });
    if (site.setup.direct) await toggleDirect(true);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return { ...server, toggleDirect };
};

export const nbdloop: Server = {
  name: 'nbdloop',
  role: 'ours',
  version: () => Promise.resolve(existsSync(PROGRAM) ? `this tree, Node ${process.version}` : undefined),
  supports: () => true,
  start: (site) => startNbdloop(site),
};

/** With processors kept awake, which the machine pays for and others on it gain by too. */
export const nbdloopAwake: Server = {
  ...nbdloop,
  version: async () => `${await nbdloop.version()}, --keep-awake`,
  start: (site) => startNbdloop(site, { ofDaemon: ['--keep-awake'] }),
};
