import { LoopError } from '../errno.js';
import { seeDoctorOfFile } from '../see-doctor.js';
import type { Backing } from './backing.js';
import type { Binding } from './binding.js';
import type { LoopCore } from './loop-core.js';

/** Where in the file and in what units requests come: what decides whether direct I/O is possible. */
type Layout = Pick<Binding, 'offset' | 'blockSize'>;

/** Why direct I/O can't be had, or undefined. loop.c: `lo_can_use_dio`. */
function obstacle(file: Backing, { offset, blockSize }: Layout): string | undefined {
  if (file.overlay !== undefined) return 'an overlay goes through the page cache';
  const alignment = file.dioAlignment;
  if (blockSize < alignment) return `the block size ${blockSize} is below ${alignment}`;
  if (offset % BigInt(alignment) !== 0n) return `the offset ${offset} is not a multiple of ${alignment}`;
  return undefined;
}

/**
 * Direct I/O as a new binding will have it: on where it was asked for and can be had, else off, which the kernel does not
 * tell and we do. The file is not in use yet. loop.c: `loop_update_dio`.
 */
export async function startDirectIo(
  file: Backing,
  wanted: Layout & { readonly directIo: boolean },
): Promise<Pick<Binding, 'directIo' | 'notes'>> {
  if (!wanted.directIo) return { directIo: false, notes: [] };
  const reason = obstacle(file, wanted) ?? (await refusalOf(file));
  return reason === undefined
    ? { directIo: true, notes: [] }
    : { directIo: false, notes: [withoutDirectIo(reason)] };
}

async function refusalOf(file: Backing): Promise<string | undefined> {
  try {
    await file.setDirect(true);
    return undefined;
  } catch {
    return `its file system refuses it ${seeDoctorOfFile('direct I/O', file.path)}`;
  }
}

const withoutDirectIo = (reason: string): string => `direct I/O was asked for and is off, as ${reason}`;

/** Why a bound device must give up direct I/O to take a new layout, as a sentence; undefined when it need not. */
export function lostDirectIo(binding: Binding, layout: Layout): string | undefined {
  const reason = binding.directIo ? obstacle(binding.file, layout) : undefined;
  return reason === undefined ? undefined : withoutDirectIo(reason);
}

/**
 * LOOP_SET_DIRECT_IO. Throws ENXIO when not bound, EINVAL when the file system refuses or offset or block size is
 * not aligned to what direct I/O needs, and the errno of fsync.
 */
export const loopSetDio = (core: LoopCore, on: boolean): Promise<void> =>
  core.exclusive(async () => {
    const binding = core.bound();
    if (binding.directIo === on) return undefined;
    if (binding.file.isCopied === true) throw new LoopError('EBUSY', `${core.name} is being copied.`);
    const reason = on ? obstacle(binding.file, binding) : undefined;
    if (reason !== undefined) {
      throw new LoopError('EINVAL', `${core.name} can't use direct I/O on ${binding.file.path}: ${reason}.`);
    }
    // The long wait, for the data in the page cache, comes before the freeze: requests run on meanwhile.
    await binding.file.sync();
    const wanted: Binding = { ...binding, directIo: on, notes: [] };
    await core.replace(wanted, async () => {
      await using frozen = await core.queue.freeze();
      await binding.file.setDirect(on);
      core.publish(frozen, wanted);
    });
    return 'change';
  });
