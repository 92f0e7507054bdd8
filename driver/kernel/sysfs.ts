/** What the kernel tells about /dev/nbdN. Reads only, never opens the node. */

import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';

export const diskName = (device: number): string => `nbd${device}`;
export const nodePath = (device: number): string => `/dev/${diskName(device)}`;
const sysPath = (device: number): string => `/sys/block/${diskName(device)}`;

/** True while a connection is configured: the only sign that holds also for a device that is merely open. */
export const isConnected = (device: number): boolean => existsSync(`${sysPath(device)}/pid`);

/** The backend identifier of a connected device; undefined when it has none. */
export function backendOf(device: number): string | undefined {
  try {
    return readFileSync(`${sysPath(device)}/backend`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * Sets after how many milliseconds the block layer asks the driver what became of a request. Newer kernels (6.12) wait
 * until none is under way.
 */
export const setRequestTick = (device: number, milliseconds: number): Promise<void> =>
  writeFile(`${sysPath(device)}/queue/io_timeout`, String(milliseconds));

/** No request for data is longer than this, bytes, rounded down to KiB; more than the driver takes is what it takes. */
export async function limitRequests(device: number, bytes: number): Promise<void> {
  const file = `${sysPath(device)}/queue/max_sectors_kb`;
  const limit = Math.max(4, Math.floor(bytes / 1024));
  if (Number(readFileSync(file, 'latin1')) > limit) await writeFile(file, String(limit));
}

/** True when the driver is there and has made this device. */
export const deviceExists = (device: number): boolean => existsSync(sysPath(device));
