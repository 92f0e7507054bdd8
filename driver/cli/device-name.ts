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

/**
 * The number that a word names: `loop3`, `3`, `/dev/nbd3`, `nbd3`, or the URI that `--show` printed
 * (`nbd+unix:///loop3?socket=...`, `nbd://host:port/loop3`). ENODEV for anything else; `/dev/loop3` is the kernel's.
 */
export function deviceNumber(word: string): number {
  const match =
    /^(?:loop|(?:\/dev\/)?nbd)?(\d{1,7})$/.exec(word) ??
    /^nbds?(?:\+unix)?:\/\/[^/?#]*\/loop(\d{1,7})(?:[?#].*)?$/.exec(word);
  if (match?.[1] !== undefined) return Number(match[1]);
  const kernels = /^\/dev\/loop\d+$/.test(word);
  throw new CliError(
    'ENODEV',
    kernels
      ? `${word}: failed to use device: this is a device of the kernel's own loop driver`
      : `${word}: failed to use device: No such device`,
  );
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
