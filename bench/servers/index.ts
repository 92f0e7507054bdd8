import { kernelLoop, plainFile } from './ceilings.js';
import { nbdServer, nbdServerSplice } from './nbd-server.js';
import { nbdkit } from './nbdkit.js';
import { nbdloop, nbdloopAwake } from './nbdloop.js';
import { qemuNbdThreads, qemuNbdUring } from './qemu-nbd.js';
import type { Server } from './server.js';

/** In the order of the report. */
export const SERVERS: readonly Server[] = [
  nbdloop,
  nbdkit,
  nbdServer,
  nbdServerSplice,
  qemuNbdUring,
  qemuNbdThreads,
  plainFile,
  kernelLoop,
];

export interface Installed {
  readonly server: Server;
  readonly version: string;
}

/** Those of `names` (all where it is undefined) that are installed here. Throws on a name that is none. */
export const installedServers = async (
  names: readonly string[] | undefined,
  keepAwake = false,
): Promise<Installed[]> => {
  const unknown = names?.find((name) => !SERVERS.some((server) => server.name === name));
  if (unknown !== undefined) {
    throw new Error(
      `No server is named ${unknown}: there are ${SERVERS.map((server) => server.name).join(', ')}.`,
    );
  }
  const found: Installed[] = [];
  for (const usual of SERVERS) {
    const server = usual === nbdloop && keepAwake ? nbdloopAwake : usual;
    if (names !== undefined && !names.includes(server.name)) continue;
    const version = await server.version();
    if (version !== undefined) found.push({ server, version });
  }
  return found;
};
