import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { alive, run, stopProcess, versionLine } from '../system/process.js';
import {
  accepting,
  EXPORT,
  freePort,
  type RunningServer,
  type Server,
  type Setup,
  type Site,
  START_LIMIT_MS,
  socketPath,
  uriOf,
} from './server.js';

/** nbd-server(5). `splice` is its own way to save copies. */
const configuration = (site: Site, port: number, splice: boolean): string => {
  const { transport } = site.setup;
  return [
    '[generic]',
    'allowlist = true',
    ...(transport === 'tcp'
      ? ['listenaddr = 127.0.0.1', `port = ${port}`]
      : [`unixsock = ${socketPath(site)}`]),
    `[${EXPORT}]`,
    `exportname = ${site.image}`,
    `splice = ${splice}`,
    'flush = true',
    'fua = true',
    'trim = true',
    '',
  ].join('\n');
};

/** It serves only one client in the foreground, so it runs as the daemon it makes of itself. */
const start = async (site: Site, splice: boolean): Promise<RunningServer> => {
  const port = site.setup.transport === 'tcp' ? await freePort() : 0;
  const config = `${site.directory}/nbd-server.conf`;
  const pidFile = `${site.directory}/nbd-server.pid`;
  await writeFile(config, configuration(site, port, splice));
  await run('nbd-server', ['-C', config, '-p', pidFile], { timeout: 10_000 });
  const pid = await readPid(pidFile);
  const stop = () => stopProcess(pid, () => alive(pid));
  try {
    await accepting({ alive: () => alive(pid), says: () => 'see the system log' }, site, port);
  } catch (error) {
    await stop();
    throw error;
  }
  return { pid, address: uriOf(site, port), stop };
};

/** The daemon may write it after the process that made it has ended. */
const readPid = async (path: string): Promise<number> => {
  for (let waited = 0; waited < START_LIMIT_MS; waited += 20) {
    const pid = Number(await readFile(path, 'utf8').catch(() => ''));
    if (Number.isInteger(pid) && pid > 1) return pid;
    await sleep(20);
  }
  throw new Error(`nbd-server wrote no process id to ${path}`);
};

/** Under TLS it wants a certificate of the client, and fio's nbd engine cannot be given one. */
const supports = (setup: Setup): boolean => !setup.direct && !setup.tls;

const version = (): Promise<string | undefined> => versionLine('nbd-server', ['-V']);

export const nbdServer: Server = {
  name: 'nbd-server',
  role: 'peer',
  version,
  supports,
  start: (site) => start(site, false),
};

export const nbdServerSplice: Server = {
  name: 'nbd-server-splice',
  role: 'peer',
  version,
  supports,
  start: (site) => start(site, true),
};
