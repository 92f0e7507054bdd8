/** The columns of nbdlosetup's listing: losetup's names, order, alignment and JSON types. */

import { statSync } from 'node:fs';
import type { DeviceStatus } from '../control/messages.js';
import type { ExactNumber } from '../exact-number.js';
import { listedName } from './device-name.js';
import { CliError } from './fail.js';
import type { Cell, Column } from './table.js';

export interface LosetupColumn extends Column {
  readonly help: string;
  readonly cell: (device: DeviceStatus) => Cell;
}

/** All digits, in JSON too. */
const exact = (value: ExactNumber | null): Cell => (value === null ? null : BigInt(value));

/** A value that only a bound device has. */
const whenBound =
  (value: (device: DeviceStatus) => Cell) =>
  (device: DeviceStatus): Cell =>
    device.file === null ? null : value(device);

/** In the order of --output-all. */
export const LOSETUP_COLUMNS: readonly LosetupColumn[] = [
  { name: 'NAME', align: 'left', help: 'name of the device', cell: listedName },
  { name: 'AUTOCLEAR', align: 'right', help: 'the last close clears it', cell: (d) => d.autoclear },
  { name: 'BACK-FILE', align: 'left', help: 'path of the backing file', cell: (d) => d.file },
  { name: 'BACK-INO', align: 'right', help: 'inode of the backing file', cell: (d) => exact(d.backingInode) },
  {
    name: 'BACK-MAJ:MIN',
    align: 'left',
    help: 'device number under the backing file',
    cell: (d) => (d.backingDevice === null ? null : majorMinor(BigInt(d.backingDevice), 8)),
  },
  { name: 'MAJ:MIN', align: 'left', help: 'device number, while attached', cell: nodeNumber },
  {
    name: 'OFFSET',
    align: 'right',
    help: 'where it starts in the file, bytes',
    cell: whenBound((d) => d.offset),
  },
  { name: 'PARTSCAN', align: 'right', help: 'partitions are looked for', cell: (d) => d.partscan },
  { name: 'RO', align: 'right', help: 'it is read-only', cell: (d) => d.readOnly },
  {
    name: 'SIZELIMIT',
    align: 'right',
    help: 'most bytes used of the file',
    cell: whenBound((d) => d.sizeLimit),
  },
  { name: 'DIO', align: 'right', help: 'the file is used with direct I/O', cell: (d) => d.directIo },
  { name: 'LOG-SEC', align: 'right', help: 'logical sector size, bytes', cell: (d) => d.blockSize },
];

const DEFAULT_COLUMNS = ['NAME', 'SIZELIMIT', 'OFFSET', 'AUTOCLEAR', 'RO', 'BACK-FILE', 'DIO', 'LOG-SEC'];

/**
 * The columns that `--output LIST` asks for: names in either case; a leading + adds to the default ones. Without
 * a list, the default ones. EINVAL names the first unknown one.
 */
export function chooseColumns(list: string | undefined): readonly LosetupColumn[] {
  if (list === undefined) return DEFAULT_COLUMNS.map(columnNamed);
  const added = list.startsWith('+');
  const chosen = (added ? list.slice(1) : list).split(',').map(columnNamed);
  return added ? [...DEFAULT_COLUMNS.map(columnNamed), ...chosen] : chosen;
}

function columnNamed(name: string): LosetupColumn {
  const column = LOSETUP_COLUMNS.find((candidate) => candidate.name === name.toUpperCase());
  if (column === undefined) throw new CliError('EINVAL', `unknown column: ${name}`);
  return column;
}

/** The node's own number, as losetup takes it from the file system; an export that is not attached has none. */
function nodeNumber(device: DeviceStatus): Cell {
  if (device.node === null) return null;
  const node = statSync(device.node, { bigint: true, throwIfNoEntry: false });
  return node?.isBlockDevice() === true ? majorMinor(node.rdev, 3) : null;
}

/** `major:minor` as losetup pads it. A dev_t holds 12 + 20 bits, interleaved (makedev(3)). */
function majorMinor(device: bigint, width: number): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${String(major).padStart(width)}:${String(minor).padEnd(3)}`;
}
