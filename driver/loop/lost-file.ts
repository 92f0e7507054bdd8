import { LoopError } from '../errno.js';
import { sameFile } from '../io/file-identity.js';
import type { Backing } from './backing.js';
import type { Binding } from './binding.js';
import { startDirectIo } from './direct-io.js';
import type { LoopCore } from './loop-core.js';
import { loopSize } from './parameters.js';
import { openBacking, validateFile } from './validate-file.js';

/**
 * The file of a bound device is lost: from here on nothing is served, also not what the page cache has, and the
 * descriptor is closed with its lock. The binding stays. Throws ENXIO when the device is not bound.
 */
export async function loseFile(core: LoopCore, errno: number): Promise<void> {
  let lost: Backing | undefined;
  await core.exclusive(async () => {
    const binding = core.bound();
    if (core.lost !== undefined) return undefined;
    await using frozen = await core.queue.freeze();
    core.lost = errno;
    core.publish(frozen, binding);
    lost = binding.file;
    return 'change';
  });
  // Its data can't be written any more: what its close says changes nothing.
  if (lost === undefined) return;
  await (lost.lose?.() ?? lost.close()).catch((error: unknown) => core.host.report(core, error));
}

/**
 * Opens the file anew, with its lock, and serves it if it is the very same. Throws why not: EBUSY where another has the
 * lock, ESTALE for another file or another size, EBADF, EOPNOTSUPP for a delta without a name or a device on the move, and ENXIO when
 * the device is not bound, or not lost.
 */
export async function haveFileBack(core: LoopCore): Promise<void> {
  const before = lostBinding(core);
  const { path, identity, overlay } = before.file;
  if (overlay?.isTemporary === true || before.file.isCopied === true) {
    const why = overlay?.isTemporary === true ? 'has a delta without a name' : 'was being copied';
    throw new LoopError('EOPNOTSUPP', `${core.name} ${why}.`);
  }
  const over =
    overlay === undefined ? {} : { overlay: { delta: overlay.delta }, deltaIdentity: overlay.deltaIdentity };
  const wanted = { file: path, identity, readOnly: before.readOnly, exclusive: before.isFenced, ...over };
  const opened = await openBacking(core.host, wanted, core);
  try {
    await core.exclusive(async () => {
      const present = lostBinding(core);
      if (present.id !== before.id || !sameFile(opened.identity, present.file.identity))
        throw stale(core, path);
      validateFile(core, opened);
      if (!opened.writable && !present.readOnly) throw stale(core, path);
      if (loopSize(await opened.size(), present) < present.size) throw stale(core, path);
      const binding: Binding = { ...present, file: opened, ...(await startDirectIo(opened, present)) };
      await core.replace(binding, async () => {
        await using frozen = await core.queue.freeze();
        core.lost = undefined;
        core.publish(frozen, binding);
      });
      return 'change';
    });
  } catch (error) {
    await opened.close();
    throw error;
  }
}

function lostBinding(core: LoopCore): Binding {
  const binding = core.bound();
  if (core.lost === undefined) throw new LoopError('ENXIO', `${core.name} has its file.`);
  return binding;
}

const stale = (core: LoopCore, path: string): LoopError =>
  new LoopError('ESTALE', `${core.name}: ${path} is not what it was.`);
