/** Names of devices on the command line, and the socket of the daemon that has them. */

import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { ControlClient } from '../control/client.js';
import { chooseDaemon, daemonPlaces, placeText } from '../control/find-daemon.js';
import type { DeviceStatus } from '../control/messages.js';
import { absolutePath } from '../file-name.js';
import { CliError } from './fail.js';

/** `--control PATH`, else NBDLOOP_CONTROL, else wherever one runs: the default run directory first. */
export function connectDaemon(control: string | undefined): ControlClient {
  const named = control ?? process.env.NBDLOOP_CONTROL;
  if (named !== undefined && named !== '') return new ControlClient(absolutePath(named));
  const places = daemonPlaces();
  return new ControlClient(chooseDaemon(places), places.map(placeText));
}

/** What a word means: the number of a device, or a name that an export may have. */
export type Meant = { readonly number: number } | { readonly exportName: string };

/**
 * `loop3`, `3`, `/dev/nbd3` and `nbd3` are numbers, anything else is the name of an export; either is also meant by the URI
 * that `--show` printed (`nbd+unix:///loop3?socket=...`, `nbd://host:port/name`). ENODEV for what can be neither;
 * `/dev/loop3` is the kernel's.
 */
export function meantDevice(word: string): Meant {
  const number = /^(?:loop|(?:\/dev\/)?nbd)?(\d{1,7})$/.exec(word)?.[1];
  if (number !== undefined) return { number: Number(number) };
  const path = /^nbds?(?:\+unix)?:\/\/[^/?#]*\/([^?#]*)(?:[?#].*)?$/.exec(word)?.[1];
  const exportName = path === undefined ? word : decoded(path);
  const ofDevice = /^loop(\d{1,7})$/.exec(exportName)?.[1];
  if (ofDevice !== undefined) return { number: Number(ofDevice) };
  if (/^\/dev\/loop\d+$/.test(word)) {
    throw new CliError(
      'ENODEV',
      `${word}: failed to use device: this is a device of the kernel's own loop driver`,
    );
  }
  if (exportName === '') throw noSuchDevice(word);
  return { exportName };
}

/** The number of the device that a word names; ENODEV where the daemon has no export of this name. */
export async function deviceNumber(
  word: string,
  daemon: Pick<ControlClient, 'list' | 'unrecovered'>,
): Promise<number> {
  const meant = meantDevice(word);
  if ('number' in meant) return meant.number;
  const devices = [...(await daemon.list()), ...(await daemon.unrecovered())];
  const found = devices.find(({ exportName }) => exportName === meant.exportName);
  if (found === undefined) throw noSuchDevice(word);
  return found.number;
}

const noSuchDevice = (word: string): CliError =>
  new CliError('ENODEV', `${word}: failed to use device: No such device`);

/** As it stands where it is no percent-encoding. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** How a listing names a device: its node while it is attached, else the export's name. */
export const listedName = (device: Pick<DeviceStatus, 'node' | 'name'>): string => device.node ?? device.name;

/** The same for a listing of losetup's. */
export const markedName = (device: Pick<DeviceStatus, 'node' | 'name'>): string =>
  isLost(device) ? `${device.node} (lost)` : listedName(device);

/** The kernel has the device, and its node is missing in /dev. */
export const isLost = ({ node }: Pick<DeviceStatus, 'node'>): boolean =>
  node !== null && !existsSync(node) && existsSync(`/sys/class/block/${basename(node)}`);

/** How `--show` names a device: its node while it is attached, else the URI that a client connects to. */
export const shownName = (device: Pick<DeviceStatus, 'node' | 'name' | 'uris'>): string =>
  device.node ?? device.uris[0] ?? device.name;
