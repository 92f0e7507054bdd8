/** What the options of a mount mean: some are the device's, the others go to mount(8). */

import type { AttachRequest, ConfigureRequest } from '../control/messages.js';
import { absolutePath } from '../file-name.js';
import { CliError } from './fail.js';
import { parseSize, SizeError } from './size.js';

export interface MountRequest {
  readonly file: string;
  readonly directory: string;
  /** As mount's -o, comma-separated. */
  readonly options?: string;
  readonly type?: string;
  readonly readOnly?: boolean;
}

export interface MountPlan {
  readonly config: ConfigureRequest;
  readonly attach: AttachRequest;
  /** Number of the partition that is mounted; undefined: the whole device. */
  readonly partition: number | undefined;
  /** The daemon's control socket; undefined: the usual one. */
  readonly control: string | undefined;
  /** Arguments of mount(8) before the node. */
  readonly mountArguments: readonly string[];
}

/** Of the device, and what each is for, as the man page has it. */
export const MOUNT_OPTIONS = {
  fstype: 'type of the file system in the file; found out unless given',
  loop: 'is understood, and means nothing more',
  offset: 'where the device begins in the file',
  sizelimit: 'most bytes used of the file',
  partition: 'number of the partition in the file that is mounted',
  'sector-size': 'logical sector size',
  'direct-io': 'the file is used past the page cache',
  name: 'name of the export, by which clients find it as well',
  description: 'what they are told of it',
  'loop-ref': 'name for /dev/disk/by-loop-ref',
  connections: 'sockets between kernel and daemon, 1 to 16',
  timeout: 'seconds after which the kernel sends a request again; 0 is never',
  'dead-timeout': 'seconds that the kernel waits for a daemon that is gone',
  control: "the daemon's control socket",
} as const;

type MountOption = keyof typeof MOUNT_OPTIONS;

const isOurs = (option: string): boolean => Object.hasOwn(MOUNT_OPTIONS, option.split('=', 1)[0] ?? '');

/** Throws EINVAL or ERANGE for a value that is none. */
export function planMount({ file, options = '', type, readOnly = false }: MountRequest): MountPlan {
  const given = options.split(',').filter((option) => option !== '');
  const value = (name: MountOption): string | undefined =>
    given.findLast((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
  const bytes = (name: MountOption): string | undefined => mapped(value(name), (text) => sizeOf(name, text));
  const count = (name: MountOption): number | undefined => mapped(value(name), (text) => countOf(name, text));
  const rest = given.filter((option) => !isOurs(option));
  const partition = count('partition');
  const fsType = type ?? value('fstype');
  const sectorSize = bytes('sector-size');
  return {
    config: {
      file: absolutePath(file),
      ...defined({
        offset: bytes('offset'),
        sizeLimit: bytes('sizelimit'),
        blockSize: sectorSize === undefined ? undefined : Number(sectorSize),
        exportName: value('name'),
        description: value('description'),
        reference: value('loop-ref'),
      }),
      ...(given.some((option) => option === 'direct-io' || option === 'direct-io=on') && { directIo: true }),
      ...(partition !== undefined && { partscan: true }),
      ...((readOnly || rest.includes('ro')) && { readOnly: true }),
    },
    attach: defined({
      connections: count('connections'),
      timeout: count('timeout'),
      deadTimeout: count('dead-timeout'),
    }),
    partition,
    control: value('control'),
    mountArguments: [
      ...(fsType === undefined ? [] : ['-t', fsType]),
      ...(readOnly ? ['-r'] : []),
      ...(rest.length === 0 ? [] : ['-o', rest.join(',')]),
    ],
  };
}

const mapped = <T>(text: string | undefined, map: (text: string) => T): T | undefined =>
  text === undefined ? undefined : map(text);

function sizeOf(name: string, text: string): string {
  try {
    return String(parseSize(text));
  } catch (error) {
    if (error instanceof SizeError) throw new CliError(error.errno, `the option ${name}: ${error.message}`);
    throw error;
  }
}

function countOf(name: string, text: string): number {
  if (!/^\d{1,6}$/.test(text))
    throw new CliError('EINVAL', `the option ${name}: '${text}' is no whole number`);
  return Number(text);
}

/** Without the fields that are undefined. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
