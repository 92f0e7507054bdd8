/** The state directory for a daemon that starts: free, or had from the daemon that still runs. */

import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient } from '../control/client.js';
import { LoopError } from '../errno.js';
import { StateDirectory } from './state-directory.js';

/** How long the other daemon may take to end, milliseconds. */
const END_MS = 10_000;
const LOOK_MS = 10;

export interface TakeOverOptions {
  readonly path: string;
  /** Control socket of the daemon that may have the directory; null: its being there is an error. */
  readonly predecessor: string | null;
  /** What takes long and needs no state: it is done before the other daemon stops. */
  readonly prepare: () => Promise<void>;
}

/** EBUSY when another daemon has it and was not asked, or does not end. */
export async function takeState(options: TakeOverOptions): Promise<StateDirectory> {
  const { path, predecessor, prepare } = options;
  try {
    return await StateDirectory.open(path);
  } catch (error) {
    if (predecessor === null || !isBusy(error)) throw error;
  }
  await prepare();
  await new ControlClient(predecessor).handOver();
  const deadline = Date.now() + END_MS;
  for (;;) {
    try {
      return await StateDirectory.open(path);
    } catch (error) {
      if (!isBusy(error) || Date.now() > deadline) throw error;
    }
    await sleep(LOOK_MS);
  }
}

const isBusy = (error: unknown): boolean => error instanceof LoopError && error.errno === 'EBUSY';
