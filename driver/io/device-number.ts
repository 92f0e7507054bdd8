import { readFileSync, readlinkSync } from 'node:fs';

/** A device number taken apart as glibc's gnu_dev_major and gnu_dev_minor do. */
export function blockDeviceOf(device: bigint): { major: number; minor: number } {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return { major: Number(major & 0xffffffffn), minor: Number(minor & 0xffffffffn) };
}

/** The reverse, as gnu_dev_makedev: what st_dev and st_rdev are. */
export function makeDevice(parts: { readonly major: number; readonly minor: number }): bigint {
  const [major, minor] = [BigInt(parts.major), BigInt(parts.minor)];
  return (minor & 0xffn) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n) | ((major & ~0xfffn) << 32n);
}

/** `major:minor`. */
export function deviceText(device: bigint): string {
  const { major, minor } = blockDeviceOf(device);
  return `${major}:${minor}`;
}

/** Major number of /dev/nbdX (Documentation/admin-guide/devices.txt). */
const NBD_MAJOR = 43;
/** `max_part` of nbd.ko where nobody chose another. */
const DEFAULT_MAX_PART = 16;

/** X when a device number is that of /dev/nbdX or of a partition on it; else undefined. */
export function nbdIndexOf(device: bigint): number | undefined {
  const { major, minor } = blockDeviceOf(device);
  if (major !== NBD_MAJOR) return undefined;
  return nbdIndexFromSysfs(minor) ?? minor >> partitionShift();
}

function nbdIndexFromSysfs(minor: number): number | undefined {
  try {
    const link = readlinkSync(`/sys/dev/block/${NBD_MAJOR}:${minor}`);
    const index = /\/nbd(\d+)(?:\/|$)/.exec(link)?.[1];
    return index === undefined ? undefined : Number(index);
  } catch {
    return undefined;
  }
}

/** Each device has `1 << shift` minors, itself and its partitions; nbd.c takes the shift from `max_part`. */
function partitionShift(): number {
  let maxPart = DEFAULT_MAX_PART;
  try {
    maxPart = Number(readFileSync('/sys/module/nbd/parameters/max_part', 'latin1'));
  } catch {
    // The module is not loaded; its default tells what the minor would mean.
  }
  return 32 - Math.clz32(maxPart);
}
