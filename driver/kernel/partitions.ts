/** The partitions of an attached device, as they were asked for. */

import { dropPartitions, readPartitions } from './node.js';
import { nodePath } from './sysfs.js';

/** Of a fresh attachment: without those that were asked for there is none. Throws EBUSY when they can't be read. */
export async function firstPartitions(device: number, partscan: boolean, log: PartitionsLog): Promise<void> {
  if (partscan) await readPartitions(device, 'once');
  else await dropUnasked(device, [], log);
}

/** The kernel reads the table by itself when it hears of a size. Partitions that somebody made by hand (`before`) stay. */
export async function settlePartitions(
  device: number,
  { partscan, before }: { readonly partscan: boolean; readonly before: readonly number[] },
  log: PartitionsLog,
): Promise<void> {
  if (partscan) await readPartitions(device, 'again');
  else await dropUnasked(device, before, log);
}

export interface PartitionsLog {
  error(fields: object, message: string): void;
}

async function dropUnasked(device: number, keep: readonly number[], log: PartitionsLog): Promise<void> {
  const stay = await dropPartitions(device, keep);
  if (stay.length === 0) return;
  const names = stay.map((number) => `${nodePath(device)}p${number}`);
  log.error({ device }, `nobody asked for ${names.join(', ')}, but somebody uses it`);
}
