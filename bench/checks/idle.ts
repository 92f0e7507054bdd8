import { setTimeout as sleep } from 'node:timers/promises';
import { nbdloop } from '../servers/nbdloop.js';
import { EXPORT, socketPath } from '../servers/server.js';
import { treeCpu } from '../system/proc.js';
import { IDLE_LIMIT } from '../targets.js';
import type { Check } from './check.js';
import { restingClient } from './resting-client.js';

const CONNECTIONS = 4;
/**
 * Seconds after the last request before the window, and the window. Its resolution is 10 ms of CPU. Some 15 seconds
 * after a start, V8 cleans up what the start left behind (80 ms, once); that is no cost of a connection.
 */
const SETTLE = 25;
const WINDOW = 20;

export const checkIdle: Check = async ({ site, signal, progress }) => {
  const server = await nbdloop.start(site);
  try {
    const clients = [];
    for (let count = 0; count < CONNECTIONS; count++)
      clients.push(await restingClient(socketPath(site), EXPORT));
    progress(`${CONNECTIONS} connections at rest`);
    await sleep(SETTLE * 1000, undefined, { signal });
    const before = treeCpu(server.pid ?? 0);
    await sleep(WINDOW * 1000, undefined, { signal });
    const share = (treeCpu(server.pid ?? 0) - before) / (WINDOW * 1e6);
    for (const client of clients) client.destroy();
    const says = `${CONNECTIONS} connections at rest cost ${(share * 100).toFixed(2)} % of a core over ${WINDOW} s, under ${IDLE_LIMIT * 100} %`;
    return { name: 'idle', reached: share < IDLE_LIMIT, says };
  } finally {
    await server.stop();
  }
};
