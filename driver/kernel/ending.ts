/** How an attachment ends: when nobody uses the node any more, which the last close tells; or from under its users. */

import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import type { Attacher } from './attach.js';
import { isUsed, syncMounts, touch, usersPhrase } from './node.js';
import { isConnected } from './sysfs.js';

/** Who looks at a node for a moment, as udev does at every new one, does not keep it from being detached, milliseconds. */
export const PROBER_MS = 1000;
const LOOK_MS = 5;
/** A machine that goes down waits for no disk, milliseconds. */
const SYNC_MS = 1500;

export interface Ending {
  readonly attacher: Attacher;
  /** The last close is to end it, whoever else asks. */
  readonly autoclear: boolean;
}

/**
 * From here on the kernel lets go at the last close: that may be ours, which looks whether anybody else has the device
 * open in the one way that no user escapes. False where the way of attaching can't tell the kernel.
 */
export async function leaveToLastClose(device: number, { attacher }: Ending): Promise<boolean> {
  try {
    if (!(await attacher.disconnectOnClose(device, true))) return false;
    await touch(device);
  } catch (error) {
    if (!hasLetGoOf(error)) throw error;
  }
  return true;
}

/** True when the kernel has let go, which it does only if nobody has the device open; a look is waited for, `patienceMs`. */
export async function endUnused(device: number, ending: Ending, patienceMs: number): Promise<boolean> {
  try {
    if (!(await leaveToLastClose(device, ending))) {
      if (await isUsed(device, patienceMs)) return false;
      await ending.attacher.disconnect(device);
      return true;
    }
    if (await hasLetGo(device, patienceMs)) return true;
  } catch (error) {
    await takeBack(device, ending);
    throw error;
  }
  await takeBack(device, ending);
  return !isConnected(device);
}

/** It is in use and stays; where autoclear is wanted, until its last close. */
async function takeBack(device: number, { attacher, autoclear }: Ending): Promise<void> {
  if (autoclear) return;
  await attacher.disconnectOnClose(device, false).catch((error: unknown) => {
    if (!hasLetGoOf(error)) throw error;
  });
}

/** The machine goes down: what is mounted from the device is written back, and it is taken from its users. Never rejects. */
export async function cutOff(
  device: number,
  { attacher }: Ending,
  log: { error(fields: object, message: string): void },
): Promise<void> {
  const synced = syncMounts(device, SYNC_MS).catch((err: unknown) =>
    log.error({ err, device }, 'not all was written back'),
  );
  const [users] = await Promise.all([usersPhrase(device), synced]);
  log.error(
    { device, users },
    'the machine goes down and the device is in use: it is taken out of the kernel',
  );
  await attacher
    .disconnect(device)
    .catch((err: unknown) => log.error({ err, device }, 'it stays in the kernel, and nobody serves it'));
}

const hasLetGoOf = (error: unknown): boolean => error instanceof LoopError && error.errno === 'ENXIO';

async function hasLetGo(device: number, patienceMs: number): Promise<boolean> {
  const deadline = Date.now() + patienceMs;
  while (isConnected(device)) {
    if (Date.now() >= deadline) return false;
    await sleep(LOOK_MS);
  }
  return true;
}
