/** The floor (`bench/floor/floor.c`): about the least that a server of the protocol can cost, built where there is a compiler. */
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Daemon, run, versionLine } from '../system/process.js';
import { freePort, type Server, type Setup, type Site, serving, socketPath } from './server.js';

const SOURCE = fileURLToPath(new URL('../../../bench/floor/floor.c', import.meta.url));

const supports = ({ tls, direct }: Setup): boolean => !tls && !direct;

const start = async (site: Site, what: readonly string[]) => {
  const program = `${site.directory}/floor`;
  await run('cc', ['-O2', '-pthread', '-o', program, SOURCE], { timeout: 60_000 });
  const port = site.setup.transport === 'tcp' ? await freePort() : 0;
  const where = site.setup.transport === 'tcp' ? ['tcp', String(port)] : ['unix', socketPath(site)];
  return serving(await Daemon.start(program, [...what, ...where]), site, port);
};

const version = async (): Promise<string | undefined> => {
  const compiler = await versionLine('cc', ['--version']);
  return compiler === undefined ? undefined : `bench/floor/floor.c, ${compiler}`;
};

/** Serves the file with plain calls: what a row can gain. */
export const floorFile: Server = {
  name: 'floor-file',
  role: 'floor',
  version,
  supports,
  start: (site) => start(site, ['file', site.image]),
};

/** Answers from memory, and throws away what is written: what client, sockets and protocol cost. */
export const floorNull: Server = {
  name: 'floor-null',
  role: 'floor',
  version,
  supports,
  start: async (site) => start(site, ['null', String((await stat(site.image)).size)]),
};
