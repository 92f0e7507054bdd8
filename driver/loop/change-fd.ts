import { LoopError } from '../errno.js';
import type { Backing } from './backing.js';
import type { Binding } from './binding.js';
import { startDirectIo } from './direct-io.js';
import type { LoopCore } from './loop-core.js';
import { loopSize } from './parameters.js';
import type { WantedFile } from './types.js';
import { needsValidateMutex, openBacking, validateFile } from './validate-file.js';

/**
 * LOOP_CHANGE_FD: swaps the file under a read-only device. Throws ENXIO when not bound, EINVAL when not read-only,
 * EBADF or EINVAL for the file, EINVAL when it makes another size.
 */
export async function loopChangeFd(core: LoopCore, wanted: WantedFile): Promise<void> {
  // It is opened with no lock held, as an open may take long; a failure counts only after the device's own checks.
  const opened = await openBacking(core.host, { ...wanted, readOnly: true }, core).catch(asLoopError);
  const swap: Swap = { old: undefined };
  const change = () => changeUnder(core, opened, swap);
  try {
    await (opened instanceof LoopError || !needsValidateMutex(core, opened)
      ? core.exclusive(change)
      : core.globallyExclusive(change));
  } finally {
    // Whichever file is not the device's is closed last, holding nothing.
    if (swap.old !== undefined) await swap.old.close();
    else if (!(opened instanceof LoopError)) await opened.close();
  }
}

/** What the swap put out of use. */
interface Swap {
  old: Backing | undefined;
}

/** Caller holds loMutex, and validateMutex where the file needs it. */
async function changeUnder(core: LoopCore, opened: Backing | LoopError, swap: Swap): Promise<'change'> {
  const present = core.bound();
  if (!present.readOnly) {
    throw new LoopError('EINVAL', `${core.name} is not read-only, so that its file can't be changed.`);
  }
  if (present.file.isCopied === true) throw new LoopError('EBUSY', `${core.name} is being copied.`);
  if (present.file.overlay !== undefined) {
    throw new LoopError('EINVAL', `${core.name} has an overlay, so that its file can't be changed.`);
  }
  if (opened instanceof LoopError) throw opened;
  validateFile(core, opened);
  // The present file may have grown or shrunk since: its present size counts, not the device's.
  const [before, after] = [await present.file.size(), await opened.size()];
  if (loopSize(before, present) !== loopSize(after, present)) {
    throw new LoopError('EINVAL', `${core.name} can't change to ${opened.path}: its size differs.`);
  }
  const wanted: Binding = { ...present, file: opened, ...(await startDirectIo(opened, present)) };
  await core.replace(wanted, async () => {
    await using frozen = await core.queue.freeze();
    core.publish(frozen, wanted);
    swap.old = present.file;
  });
  return 'change';
}

function asLoopError(error: unknown): LoopError {
  if (error instanceof LoopError) return error;
  throw error;
}
