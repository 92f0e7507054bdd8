/** The columns of nbdlosetup's listing: losetup's names, order, alignment and JSON types. */

import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { DeviceStatus } from '../control/messages.js';
import type { ExactNumber } from '../exact-number.js';
import { markedName } from './device-name.js';
import { CliError } from './fail.js';
import type { Cell, Column, TableOptions } from './table.js';

export interface LosetupColumn extends Column {
  readonly help: string;
  readonly cell: (device: DeviceStatus, format: TableOptions['format']) => Cell;
}

/** All digits, in JSON too. */
const exact = (value: ExactNumber | null): Cell => (value === null ? null : BigInt(value));

/** A value that only a bound device has. */
const whenBound =
  (value: (device: DeviceStatus) => Cell) =>
  (device: DeviceStatus): Cell =>
    device.file === null ? null : value(device);

/** Of a device number that may be unknown. */
function split<T extends Cell>(
  number: (device: DeviceStatus) => DeviceParts | null,
  value: (parts: DeviceParts, format: TableOptions['format']) => T,
): LosetupColumn['cell'] {
  return (device, format) => {
    const parts = number(device);
    return parts === null ? null : value(parts, format);
  };
}

/** In the order of --output-all. */
export const LOSETUP_COLUMNS: readonly LosetupColumn[] = [
  { name: 'NAME', align: 'left', help: 'name of the device', cell: markedName },
  { name: 'AUTOCLEAR', align: 'right', help: 'the last close clears it', cell: (d) => d.autoclear },
  { name: 'BACK-FILE', align: 'left', help: 'path of the backing file', cell: (d) => d.file },
  { name: 'BACK-INO', align: 'right', help: 'inode of the backing file', cell: (d) => exact(d.backingInode) },
  {
    name: 'BACK-MAJ:MIN',
    align: 'left',
    help: 'device number under the backing file',
    cell: split(fileNumber, (parts, format) => majorMinor(parts, format, 8)),
  },
  {
    name: 'BACK-MAJ',
    align: 'left',
    help: 'its first part',
    cell: split(fileNumber, ({ major }) => String(major)),
  },
  {
    name: 'BACK-MIN',
    align: 'left',
    help: 'its second part',
    cell: split(fileNumber, ({ minor }) => String(minor)),
  },
  {
    name: 'MAJ:MIN',
    align: 'left',
    help: 'device number, while attached',
    cell: split(nodeNumber, (parts, format) => majorMinor(parts, format, 3)),
  },
  { name: 'MAJ', align: 'right', help: 'its first part', cell: split(nodeNumber, ({ major }) => major) },
  { name: 'MIN', align: 'right', help: 'its second part', cell: split(nodeNumber, ({ minor }) => minor) },
  {
    name: 'OFFSET',
    align: 'right',
    help: 'where it starts in the file, bytes',
    cell: whenBound((d) => exact(d.offset)),
  },
  { name: 'PARTSCAN', align: 'right', help: 'partitions are looked for', cell: (d) => d.partscan },
  { name: 'REF', align: 'left', help: 'name given with --loop-ref', cell: (d) => d.reference },
  { name: 'RO', align: 'right', help: 'it is read-only', cell: (d) => d.readOnly },
  {
    name: 'SIZELIMIT',
    align: 'right',
    help: 'most bytes used of the file',
    cell: whenBound((d) => exact(d.sizeLimit)),
  },
  { name: 'DIO', align: 'right', help: 'the file is used with direct I/O', cell: (d) => d.directIo },
  { name: 'LOG-SEC', align: 'right', help: 'logical sector size, bytes', cell: (d) => d.blockSize },
];

/** Of ours: to be asked for by their names. */
export const OWN_COLUMNS: readonly LosetupColumn[] = [
  { name: 'EXPORT', align: 'left', help: 'name given with --name', cell: (d) => d.exportName },
  {
    name: 'DESCRIPTION',
    align: 'left',
    help: 'what clients are told, given with --description',
    cell: (d) => d.description,
  },
  {
    name: 'LAYERS',
    align: 'right',
    help: 'files that its bytes are in: 1 without an overlay (by name only)',
    cell: whenBound((d) => d.layers),
  },
  { name: 'DELTA', align: 'left', help: 'the delta of its overlay (by name only)', cell: (d) => d.delta },
];

export const DEFAULT_COLUMNS: readonly LosetupColumn[] = [
  'NAME',
  'SIZELIMIT',
  'OFFSET',
  'AUTOCLEAR',
  'RO',
  'BACK-FILE',
  'DIO',
  'LOG-SEC',
].map(columnNamed);

/** The columns that `--output LIST` asks for: names in either case; a leading + adds to `present`. EINVAL names the first unknown one. */
export function chooseColumns(list: string, present: readonly LosetupColumn[]): readonly LosetupColumn[] {
  const added = list.startsWith('+');
  const chosen = (added ? list.slice(1) : list).split(',').map(columnNamed);
  return added ? [...present, ...chosen] : chosen;
}

function columnNamed(name: string): LosetupColumn {
  const column = [...LOSETUP_COLUMNS, ...OWN_COLUMNS].find(
    (candidate) => candidate.name === name.toUpperCase(),
  );
  if (column === undefined) throw new CliError('EINVAL', `unknown column: ${name}`);
  return column;
}

interface DeviceParts {
  readonly major: number;
  readonly minor: number;
}

function fileNumber({ backingDevice }: DeviceStatus): DeviceParts | null {
  return backingDevice === null ? null : partsOf(BigInt(backingDevice));
}

/**
 * The node's own number; of a node that is missing in /dev, the kernel's word. An export that is not attached has none.
 */
function nodeNumber({ node }: DeviceStatus): DeviceParts | null {
  if (node === null) return null;
  const found = statSync(node, { bigint: true, throwIfNoEntry: false });
  if (found?.isBlockDevice() === true) return partsOf(found.rdev);
  try {
    const [major, minor] = readFileSync(`/sys/class/block/${basename(node)}/dev`, 'latin1').split(':');
    return { major: Number(major), minor: Number(minor) };
  } catch {
    return null;
  }
}

/** A dev_t holds 12 + 20 bits, interleaved (makedev(3)). */
const partsOf = (device: bigint): DeviceParts => ({
  major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
  minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
});

/** `major:minor`, as losetup pads it for people, and not for programs. */
function majorMinor({ major, minor }: DeviceParts, format: TableOptions['format'], width: number): string {
  if (format !== 'aligned') return `${major}:${minor}`;
  return `${String(major).padStart(width)}:${String(minor).padEnd(3)}`;
}
