/** Files that the command line names, at the start. */

import { createHash } from 'node:crypto';
import { mkdir, open, realpath } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { DaemonOptions, DeviceToBind } from './daemon-options.js';
import { LoopError } from './errno.js';
import { absolutePath } from './file-name.js';
import { type FileIdentity, sameFile } from './io/file-identity.js';
import { identityOfName } from './io/named-file.js';
import type { LoopControl } from './loop/loop-control.js';
import type { LoopConfig } from './loop/types.js';
import type { Recovery } from './state/recovery.js';

const DEMONSTRATION_BYTES = 1024 ** 3;
/** Another's lock is asked for so often, milliseconds. */
const LOCK_RETRY_MS = 200;

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
  options: Pick<
    DaemonOptions,
    'devices' | 'demonstrate' | 'temporary' | 'exclusive' | 'waitForLock' | 'cluster'
  >,
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
      await bindInTime(
        loops,
        { ...device, ...overlay, file, ...together(device, identity, options) },
        options.waitForLock ?? 0,
      );
    }
  }
}

/** What belongs together where other hosts may serve the same file. */
function together(
  { exportName }: DeviceToBind,
  identity: FileIdentity | undefined,
  { exclusive = false, cluster = false }: Pick<DaemonOptions, 'exclusive' | 'cluster'>,
): Partial<LoopConfig> {
  if (!cluster) return exclusive ? { exclusive } : {};
  if (exportName === undefined || exportName === '') {
    throw new LoopError(
      'EINVAL',
      'With --cluster each --device has a --name: a number means nothing elsewhere.',
    );
  }
  const id = identity === undefined ? {} : { id: clusterId(exportName, identity.inode) };
  return { exclusive: true, directIo: true, fenced: true, ...id };
}

/**
 * A uuid (version 8 of RFC 9562) of what all hosts see alike: the name of the export, and the inode's number, which a file
 * system of several hosts gives out once. Their st_dev differ.
 */
function clusterId(exportName: string, inode: bigint): string {
  const hash = createHash('sha256').update(`nbdloop\0${exportName}\0${inode}`).digest();
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x80, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Another's lock is waited for. */
async function bindInTime(loops: LoopControl, config: LoopConfig, seconds: number): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    try {
      await loops.findAndConfigure(config);
      return;
    } catch (error) {
      const isBusy = error instanceof LoopError && error.errno === 'EBUSY';
      if (!isBusy || Date.now() >= deadline) throw error;
      await sleep(LOCK_RETRY_MS);
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
