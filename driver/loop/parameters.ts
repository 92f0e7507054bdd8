/** Validation of what a caller asks for, and the size that follows from it. loop.c: `loop_set_status_from_info`. */
import { LoopError } from '../errno.js';
import { nameFromBytes, nameToBytes } from '../file-name.js';
import type { LoopConfig, LoopSettings } from './types.js';

/** Bytes of a sector: the unit of a device's size. */
export const SECTOR = 512;
/** The page size, above which the kernel takes no block size. */
export const MAX_BLOCK_SIZE = 4096;
/** The largest loff_t. */
const MAX_LOFF = 2n ** 63n - 1n;
/** A position below this is exact as a JavaScript number. */
const MAX_POSITION = 2n ** 53n;

/** Where in its file a device lies, in bytes. */
export interface Window {
  readonly offset: bigint;
  /** 0: no limit. */
  readonly sizeLimit: bigint;
}

/** Bytes of a reference: LO_NAME_SIZE without the zero at its end. */
export const MAX_REFERENCE_BYTES = 63;

/** A configuration that was found good. */
export interface Parameters extends Window {
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partscan: boolean;
  readonly directIo: boolean;
}

type Keys<T> = Readonly<Record<keyof T, true>>;
const CONFIG_KEYS: Keys<LoopConfig> = {
  file: true,
  identity: true,
  through: true,
  exclusive: true,
  offset: true,
  sizeLimit: true,
  blockSize: true,
  readOnly: true,
  autoclear: true,
  partscan: true,
  directIo: true,
  reference: true,
  overlay: true,
  exportName: true,
  description: true,
  faults: true,
  limits: true,
  id: true,
  fenced: true,
  volatileCache: true,
  logWrites: true,
};
const SETTINGS_KEYS: Keys<LoopSettings> = {
  offset: true,
  sizeLimit: true,
  autoclear: true,
  partscan: true,
  exportName: true,
  description: true,
};

/**
 * Checks a configuration but for its file. Throws EINVAL (flag, block size) or EOVERFLOW, in that order.
 *
 * The default block size is a sector, or with direct I/O what that needs (loop.c: `loop_default_blocksize`).
 */
export function checkedConfig(name: string, config: LoopConfig, dioAlignment: number): Parameters {
  const flags = checkedFlags(name, config, CONFIG_KEYS);
  const ordinary = config.directIo ? Math.min(dioAlignment, MAX_BLOCK_SIZE) : SECTOR;
  return {
    blockSize: config.blockSize === undefined ? ordinary : checkedBlockSize(name, config.blockSize),
    ...checkedWindow(name, config, { offset: 0n, sizeLimit: 0n }),
    readOnly: flags('readOnly'),
    autoclear: flags('autoclear'),
    partscan: flags('partscan'),
    directIo: flags('directIo'),
  };
}

/**
 * The name that a device is known by: the user's own, or what fits of its file's, as losetup fills in lo_file_name. Throws
 * EINVAL for one that does not fit, or holds a zero, at which the kernel's would end.
 */
export function referenceOf(name: string, given: string | undefined, path: string): string {
  if (given === undefined || given === '') {
    return nameFromBytes(nameToBytes(path).subarray(0, MAX_REFERENCE_BYTES));
  }
  if (given.includes('\0') || nameToBytes(given).length > MAX_REFERENCE_BYTES) {
    throw new LoopError(
      'EINVAL',
      `${name} can't have this reference: it must be at most ${MAX_REFERENCE_BYTES} bytes, none of them zero.`,
    );
  }
  return given;
}

/** Checks new settings against the present ones. Throws EINVAL or EOVERFLOW. */
export function checkedSettings<T extends Parameters>(name: string, settings: LoopSettings, present: T): T {
  const flags = checkedFlags(name, settings, SETTINGS_KEYS);
  return {
    ...present,
    ...checkedWindow(name, settings, present),
    autoclear: settings.autoclear === undefined ? present.autoclear : flags('autoclear'),
    partscan: present.partscan || flags('partscan'),
  };
}

/** Throws EINVAL unless the size is a power of two from a sector to a page. loop.c: `loop_validate_block_size`. */
export function checkedBlockSize(name: string, bytes: number): number {
  const isPowerOfTwo = Number.isInteger(bytes) && bytes > 0 && (bytes & (bytes - 1)) === 0;
  if (isPowerOfTwo && bytes >= SECTOR && bytes <= MAX_BLOCK_SIZE) return bytes;
  throw new LoopError(
    'EINVAL',
    `${name} can't have a block size of ${bytes}: it must be a power of two from ${SECTOR} to ${MAX_BLOCK_SIZE}.`,
  );
}

/**
 * Size of a device in bytes: what the window leaves of the file, in whole sectors, never negative. loop.c:
 * `get_size`.
 *
 * Files count up to 2^53 bytes, so that every position in a device is exact as a JavaScript number.
 */
export function loopSize(fileSize: bigint, { offset, sizeLimit }: Window): number {
  const end = fileSize < MAX_POSITION ? fileSize : MAX_POSITION;
  let size = end > offset ? end - offset : 0n;
  if (sizeLimit > 0n && sizeLimit < size) size = sizeLimit;
  return Number(size - (size % BigInt(SECTOR)));
}

function checkedWindow(
  name: string,
  wanted: { readonly offset?: number | bigint; readonly sizeLimit?: number | bigint },
  present: Window,
): Window {
  const { offset, sizeLimit } = wanted;
  return {
    offset: offset === undefined ? present.offset : checkedLoff(name, 'an offset', offset),
    sizeLimit: sizeLimit === undefined ? present.sizeLimit : checkedLoff(name, 'a size limit', sizeLimit),
  };
}

/** EOVERFLOW also for a negative number: the kernel's field is unsigned, so that it means one over 2^63 - 1. */
function checkedLoff(name: string, what: string, value: number | bigint): bigint {
  if (typeof value === 'number' && !Number.isInteger(value)) {
    throw new LoopError('EINVAL', `${name} can't have ${what} of ${value}: it is not a whole number.`);
  }
  const bytes = BigInt(value);
  if (bytes >= 0n && bytes <= MAX_LOFF) return bytes;
  throw new LoopError('EOVERFLOW', `${name} can't have ${what} of ${value}: it must be from 0 to 2^63 - 1.`);
}

/** A reader of flags. Throws EINVAL for a key that is none of ours, as for an unknown LO_FLAGS_ bit. */
function checkedFlags<T extends object>(
  name: string,
  given: T,
  known: Keys<T>,
): (flag: keyof T & string) => boolean {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(known, key)) throw new LoopError('EINVAL', `${name} knows no flag "${key}".`);
  }
  return (flag) => {
    const value: unknown = given[flag] ?? false;
    if (typeof value === 'boolean') return value;
    throw new LoopError('EINVAL', `${name} takes ${flag} as true or false, not ${String(value)}.`);
  };
}
