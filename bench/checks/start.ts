import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Size } from '../../server/wire/constants.js';
import { daemonArguments } from '../servers/nbdloop.js';
import { type Site, socketPath } from '../servers/server.js';
import { median } from '../statistics.js';
import { Daemon } from '../system/process.js';
import { START_LIMIT } from '../targets.js';
import type { Check } from './check.js';
import { received } from './resting-client.js';

const STARTS = 10;

/** Seconds from the start of the process to the greeting on its first connection. */
const startOnce = async (site: Site, signal: AbortSignal): Promise<number> => {
  const begin = performance.now();
  const daemon = await Daemon.start(process.execPath, daemonArguments(site, 0));
  try {
    while (!(await greeted(socketPath(site)))) {
      signal.throwIfAborted();
      if (!daemon.running) throw new Error(`nbdloop ended at its start: ${daemon.lastWords}`);
      await sleep(1);
    }
    return (performance.now() - begin) / 1000;
  } finally {
    await daemon.stop();
  }
};

const greeted = async (path: string): Promise<boolean> => {
  const socket = connect({ path });
  try {
    await received(socket, Size.GREETING);
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
};

export const checkStart: Check = async ({ site, signal, progress }) => {
  const times: number[] = [];
  for (let count = 1; count <= STARTS; count++) {
    progress(`start ${count}/${STARTS}`);
    times.push(await startOnce(site, signal));
  }
  const middle = median(times);
  const says = `start to greeting ${middle.toFixed(3)} s (${STARTS} starts, ${Math.min(...times).toFixed(3)} to ${Math.max(...times).toFixed(3)} s), at most ${START_LIMIT} s`;
  return { name: 'start', reached: middle <= START_LIMIT, says };
};
