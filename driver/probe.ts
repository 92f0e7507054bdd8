/** Whether a device serves: a READ through its export, as this host's kernel would send it, and its lock. */

import type { NbdServer } from '../server/server.js';
import { LoopError } from './errno.js';
import { socketPair } from './kernel/netlink/calls.js';
import type { LoopExports } from './loop/exports.js';
import type { LoopControl } from './loop/loop-control.js';
import { readOnce } from './remote/read-once.js';

const READ_BYTES = 4096;
/** Milliseconds. */
const READ_MS = 30_000;

export interface ProbeParts {
  readonly loops: LoopControl;
  readonly exports: LoopExports;
  readonly server: NbdServer;
}

/** Throws why it does not: ENODEV, ENXIO without a file, ENOLCK without its lock, EIO, ETIMEDOUT. */
export async function probe({ loops, exports, server }: ProbeParts, number: number): Promise<void> {
  const device = loops.device(number);
  const { name, size } = await device.loopGetStatus();
  if (!(await device.hasLock())) throw new LoopError('ENOLCK', `${name}: another has the lock of its file`);
  const found = exports.find(name);
  if (found === undefined) throw new LoopError('ENODEV', `there is no export ${name}`);
  const opened = await found.open();
  const pair = socketPair();
  if (pair === undefined) {
    await opened.release();
    throw new LoopError('EMFILE', `${name}: no socket can be had`);
  }
  server.serveSocket(pair.ours, opened);
  await readOnce(pair.kernels, Math.min(READ_BYTES, size), READ_MS);
}
