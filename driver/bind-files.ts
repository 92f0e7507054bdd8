/** Files that the command line names, at the start. */

import { mkdir, open, realpath } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { DaemonOptions } from './daemon-options.js';
import { absolutePath } from './file-name.js';
import { sameFile } from './io/file-identity.js';
import { identityOfName } from './io/named-file.js';
import type { LoopControl } from './loop/loop-control.js';
import type { Recovery } from './state/recovery.js';

const DEMONSTRATION_BYTES = 1024 ** 3;

interface Binder {
  readonly loops: LoopControl;
  readonly recovery: Recovery | undefined;
  readonly log: Logger;
}

/**
 * Binds what the command line names and the daemon before this one did not have. A device that could not be brought
 * back waits for its file: what has that name by now gets no other number, or its clients would not know.
 */
export async function bindFiles(
  { loops, recovery, log }: Binder,
  options: Pick<DaemonOptions, 'devices' | 'demonstrate' | 'temporary'>,
): Promise<void> {
  const devices = [...options.devices];
  if (devices.length === 0 && options.demonstrate) devices.push({ file: await demonstrationDisk() });
  const present = loops.devices().flatMap((device) => device.identity ?? []);
  for (const device of devices) {
    const file = absolutePath(device.file);
    const identity = await identityOfName(file).catch(() => undefined);
    const path = await realpath(file).catch(() => file);
    const waiting = recovery?.waitsFor(path, identity);
    if (waiting !== undefined)
      log.error({ device: waiting.name, file }, 'the file is not bound: its device is down');
    else if (identity === undefined || !present.some((one) => sameFile(one, identity))) {
      const overlay = options.temporary === true ? { overlay: { temporary: true } } : {};
      await loops.findAndConfigure({ ...device, ...overlay, file });
    }
  }
}

/** A sparse disk in ./data, made once. */
async function demonstrationDisk(): Promise<string> {
  const file = resolve('data', 'disk.img');
  await mkdir(dirname(file), { recursive: true });
  const handle = await open(file, 'a');
  try {
    if ((await handle.stat()).size === 0) await handle.truncate(DEMONSTRATION_BYTES);
  } finally {
    await handle.close();
  }
  return file;
}
