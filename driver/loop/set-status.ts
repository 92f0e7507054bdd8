import { LoopError } from '../errno.js';
import type { Binding } from './binding.js';
import { lostDirectIo } from './direct-io.js';
import { checkedText } from './export-names.js';
import type { LoopCore } from './loop-core.js';
import { checkedBlockSize, checkedSettings, loopSize } from './parameters.js';
import type { LoopSettings } from './types.js';

/**
 * LOOP_SET_STATUS64. The size follows the file only when offset or size limit change, as in the kernel. Throws ENXIO
 * when not bound, EINVAL, EOVERFLOW.
 */
export const loopSetStatus = (core: LoopCore, settings: LoopSettings): Promise<void> =>
  core.exclusive(async () => {
    const present = core.bound();
    const text = checkedText(core.name, settings, present);
    const wanted = { ...checkedSettings(core.name, settings, present), ...text };
    if (!Object.keys(settings).some(concernsRequests)) return rename(core, present, wanted);
    const moved = wanted.offset !== present.offset || wanted.sizeLimit !== present.sizeLimit;
    const size = moved ? loopSize(await present.file.size(), wanted) : present.size;
    return replace(core, present, { ...wanted, size });
  });

const concernsRequests = (setting: string): boolean => setting !== 'exportName' && setting !== 'description';

/** Requests go on meanwhile: none of them looks at a name. Caller holds loMutex. */
async function rename(core: LoopCore, present: Binding, wanted: Binding): Promise<'change' | undefined> {
  const { exportName, description } = wanted;
  if (sameOutside(present, wanted)) return undefined;
  await core.replace(wanted, async () => core.setUnseen({ exportName, description }));
  return 'change';
}

/** LOOP_SET_CAPACITY: takes the file's present size. Throws ENXIO when not bound. */
export const loopSetCapacity = (core: LoopCore): Promise<void> =>
  core.exclusive(async () => {
    const present = core.bound();
    if (present.file.isCopied === true) throw new LoopError('EBUSY', `${core.name} is being copied.`);
    const growth = await present.file.overlay?.growth();
    const fileSize = growth === undefined ? await present.file.size() : BigInt(growth.size);
    const size = loopSize(fileSize, present);
    if (size === present.size && growth === undefined) return undefined;
    return replace(core, present, { ...present, size }, growth?.apply);
  });

/** LOOP_SET_BLOCK_SIZE. Throws ENXIO when not bound, EINVAL. */
export const loopSetBlockSize = (core: LoopCore, bytes: number): Promise<void> =>
  core.exclusive(async () => {
    const present = core.bound();
    const blockSize = checkedBlockSize(core.name, bytes);
    return blockSize === present.blockSize
      ? undefined
      : replace(core, present, { ...present, blockSize, notes: [] });
  });

/**
 * Puts a new binding of the same file in the place of the present one. Direct I/O that the new layout can't have is
 * given up (loop.c: `loop_update_dio`). Caller holds loMutex.
 */
async function replace(
  core: LoopCore,
  present: Binding,
  wanted: Binding,
  whileFrozen?: () => Promise<void>,
): Promise<'change' | undefined> {
  const lost = lostDirectIo(present, wanted);
  const dropsDirectIo = lost !== undefined;
  if (dropsDirectIo) await present.file.sync();
  const direct = dropsDirectIo ? { directIo: false, notes: [lost] } : {};
  const next: Binding = { ...wanted, ...direct };
  await core.replace(next, async () => {
    await using frozen = await core.queue.freeze();
    if (dropsDirectIo) await present.file.setDirect(false);
    await whileFrozen?.();
    core.publish(frozen, next);
  });
  return sameOutside(present, wanted) && !dropsDirectIo ? undefined : 'change';
}

const sameOutside = (a: Binding, b: Binding): boolean =>
  a.offset === b.offset &&
  a.sizeLimit === b.sizeLimit &&
  a.size === b.size &&
  a.blockSize === b.blockSize &&
  a.autoclear === b.autoclear &&
  a.exportName === b.exportName &&
  a.description === b.description &&
  a.partscan === b.partscan;
