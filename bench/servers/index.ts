import { kernelLoop, plainFile } from './ceilings.js';
import { floorFile, floorNull } from './floor.js';
import { nbdServer, nbdServerSplice } from './nbd-server.js';
import { nbdkit } from './nbdkit.js';
import { nbdloop, nbdloopAwake } from './nbdloop.js';
import { qemuNbdThreads, qemuNbdUring } from './qemu-nbd.js';
import type { Server } from './server.js';

/** In the order of the report, after nbdloop. */
const OTHERS: readonly Server[] = [
  nbdkit,
  nbdServer,
  nbdServerSplice,
  qemuNbdUring,
  qemuNbdThreads,
  floorFile,
  floorNull,
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
  const servers = [keepAwake ? nbdloopAwake : nbdloop, ...OTHERS];
  const unknown = names?.find((name) => !servers.some((server) => server.name === name));
  if (unknown !== undefined) {
    throw new Error(
      `No server is named ${unknown}: there are ${servers.map((server) => server.name).join(', ')}.`,
    );
  }
  const found: Installed[] = [];
  for (const server of servers) {
    if (names !== undefined && !names.includes(server.name)) continue;
    const version = await server.version();
    if (version !== undefined) found.push({ server, version });
  }
  return found;
};
