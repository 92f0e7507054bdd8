/** nbdloop status and nbdloop events: the daemon and its devices as text. */

import type {
  DaemonInfo,
  DeviceEvent,
  DeviceStatus,
  FaultEvent,
  UnrecoveredDevice,
} from '../control/messages.js';
import { listedName } from './device-name.js';
import { type Cell, type Column, formatTable } from './table.js';
import { humanBytes, humanCount, humanSeconds } from './units.js';

export function daemonText(daemon: DaemonInfo, now: Date): string {
  const age = (now.getTime() - Date.parse(daemon.startedAt)) / 1000;
  const connections = `${daemon.connections} connection${daemon.connections === 1 ? '' : 's'}`;
  const reactors = `${daemon.reactors} reactor${daemon.reactors === 1 ? '' : 's'}`;
  return [
    `nbdloopd ${daemon.version}, process ${daemon.pid}, up ${humanSeconds(age)}, ${connections}, ${reactors}`,
    `open files and sockets: at most ${daemon.descriptorLimit ?? 'any number'}`,
    ...daemon.listeners.map((uri) => `listening on ${uri}`),
    ...(daemon.settings.error === null
      ? []
      : [`settings of ${daemon.settings.loadedAt}, newer ones cannot be used: ${daemon.settings.error}`]),
    '',
  ].join('\n');
}

export function devicesText(devices: readonly DeviceStatus[]): string {
  // Where none has a name, it would be an empty column.
  const named = devices.some(({ exportName }) => exportName !== null);
  const columns: Column[] = [
    { name: 'DEVICE', align: 'left' },
    ...(named ? [{ name: 'EXPORT', align: 'left' } as const] : []),
    { name: 'STATE', align: 'left' },
    { name: 'SIZE', align: 'right' },
    { name: 'OPENERS', align: 'right' },
    { name: 'REQUESTS', align: 'right' },
    { name: 'ERRORS', align: 'right' },
    { name: 'FLAGS', align: 'left' },
    { name: 'FILE', align: 'left' },
  ];
  const rows = devices.map((device): Cell[] => [
    listedName(device),
    ...(named ? [device.exportName] : []),
    device.state,
    humanBytes(device.size),
    device.openers,
    humanCount(requestsOf(device)),
    humanCount(device.counters.errors),
    flagsOf(device),
    device.file,
  ]);
  return formatTable(columns, rows, { format: 'aligned', headings: true, title: 'devices', unicode: true });
}

/** A line for each device that is down, and why. */
export const unrecoveredText = (devices: readonly UnrecoveredDevice[]): string =>
  devices
    .map(({ name, node, file, message, errno }) => {
      const still = node === null ? '' : ` (the kernel still has ${node})`;
      return `${name} was not brought back${still}: ${file}: ${message.replace(/\.$/, '')} (${errno})\n`;
    })
    .join('');

/** A line for each device that is being cleared and can't be yet, and why. */
export const hangingText = (devices: readonly DeviceStatus[]): string =>
  devices
    .filter(
      ({ state, warnings }) => state !== 'unbound' && warnings.some((one) => one.startsWith('it hangs')),
    )
    .map(({ name, warnings }) => `${name}: ${warnings[0] ?? ''}\n`)
    .join('');

/** One line an event. */
export function eventText(event: DeviceEvent | FaultEvent): string {
  if (event.kind === 'fault') return hitText(event);
  const { sequence, kind, status } = event;
  const what =
    status.file === null ? '' : ` ${status.file} ${humanBytes(status.size)} ${flagsOf(status)}`.trimEnd();
  const name = status.exportName === null ? '' : ` (${status.exportName})`;
  return `${sequence} ${status.name}${name} ${kind}${what}\n`;
}

const hitText = ({
  sequence,
  device,
  rule,
  fault,
  operation,
  offset,
  length,
  index,
  missed,
}: FaultEvent): string => {
  const where = operation === 'flush' ? '' : ` ${offset}+${length}`;
  const more = missed === 0 ? '' : `, after ${missed} that are not told one by one`;
  return `${sequence} loop${device} fault ${rule} ${fault} ${operation}${where} request ${index}${more}\n`;
};

export function requestsOf({ counters }: DeviceStatus): number {
  const { reads, writes, flushes, trims, writeZeroes, caches, blockStatuses } = counters;
  return reads + writes + flushes + trims + writeZeroes + caches + blockStatuses;
}

type Flags = Pick<DeviceStatus, 'readOnly' | 'autoclear' | 'partscan' | 'directIo'>;

const flagsOf = ({ readOnly, autoclear, partscan, directIo }: Flags): string =>
  [readOnly && 'ro', autoclear && 'autoclear', partscan && 'partscan', directIo && 'dio']
    .filter((flag) => flag !== false)
    .join(',');
