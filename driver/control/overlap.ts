/** losetup --nooverlap: may this range of a file be served once more? */

import { identityOfName } from '../io/named-file.js';
import type { LoopConfigFields, LoopStatusFields } from './context.js';

/** A refusal made here: an errno name and a sentence. */
export class OverlapError extends Error {
  readonly errno = 'EEXIST';
}

/**
 * Returns the device that already serves exactly this range, so that it can be used again; undefined when nothing
 * overlaps. Throws EEXIST when another device serves a part of it, or all of it read-only where writing is wanted.
 * A file that can't be examined overlaps nothing: configuring it gives the better error.
 */
export async function reusable(
  config: LoopConfigFields,
  bound: readonly LoopStatusFields[],
): Promise<LoopStatusFields | undefined> {
  const file = config.identity ?? (await identityOfName(config.file).catch(() => undefined));
  if (file === undefined) return undefined;
  const wanted = rangeOf(config.offset ?? 0, config.sizeLimit ?? 0);
  for (const device of bound) {
    if (device.backingInode !== file.inode || device.backingDevice !== file.device) continue;
    const served = rangeOf(device.offset, device.sizeLimit);
    if (!overlap(wanted, served)) continue;
    if (wanted.start !== served.start || wanted.end !== served.end) {
      throw new OverlapError(`${config.file}: overlapping loop device exists: ${device.name}`);
    }
    if (device.readOnly && config.readOnly !== true) {
      throw new OverlapError(`${config.file}: overlapping read-only loop device exists: ${device.name}`);
    }
    const { exportName } = config;
    if (exportName !== undefined && exportName !== (device.exportName ?? '')) {
      throw new OverlapError(
        `${config.file}: overlapping loop device of another name exists: ${device.name}`,
      );
    }
    return device;
  }
  return undefined;
}

/** For a device that is named: none serves a part of the range, not even all of it. Throws EEXIST. */
export async function refuseOverlap(
  config: LoopConfigFields,
  bound: readonly LoopStatusFields[],
): Promise<void> {
  const device = await reusable({ ...withoutName(config), readOnly: true }, bound);
  if (device !== undefined) {
    throw new OverlapError(`${config.file}: overlapping loop device exists: ${device.name}`);
  }
}

const withoutName = ({ exportName: _exportName, ...config }: LoopConfigFields): LoopConfigFields => config;

interface Range {
  readonly start: bigint;
  /** Undefined: the end of the file, wherever that is. */
  readonly end: bigint | undefined;
}

const overlap = (a: Range, b: Range): boolean =>
  (b.end === undefined || a.start < b.end) && (a.end === undefined || b.start < a.end);

/** Half-open, in bytes of the file; a limit of 0 reaches to the end. */
function rangeOf(offset: number | bigint, sizeLimit: number | bigint): Range {
  const start = BigInt(offset);
  return { start, end: BigInt(sizeLimit) === 0n ? undefined : start + BigInt(sizeLimit) };
}
