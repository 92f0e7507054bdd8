/** Moving, flattening and committing a bound device while it is used. No counterpart in loop.c. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { type ErrnoName, LoopError } from '../../errno.js';
import { nameToBytes } from '../../file-name.js';
import { BackingFile } from '../../io/backing-file.js';
import { codeOf } from '../../io/named-file.js';
import type { FileDescription, MirrorDescription, OverlayDescription } from '../../store/description.js';
import { MirrorShared } from '../../store/mirror-store.js';
import type { Backing } from '../backing.js';
import { type Binding, type Superseded, storeOf } from '../binding.js';
import { startDirectIo } from '../direct-io.js';
import type { LoopCore } from '../loop-core.js';
import { syncDirectory } from '../overlay/new-delta.js';
import { OverlayFile } from '../overlay/overlay-file.js';
import { CopyJob, type CopyStatus } from './copy-job.js';
import { intoBase } from './into-base.js';
import { MirrorFile } from './mirror-file.js';
import type { Target } from './target.js';

export interface CopyWish {
  /** Bytes a second at most. Default: no limit. */
  readonly rate?: number;
}

/**
 * Copies the device to a new file, which it has from then on: of an overlay a raw image. The old file stays as it is. Resolves
 * when the copy runs. Throws ENXIO, EEXIST, EBUSY while another copy runs, and what making a file throws.
 */
export const loopMove = (core: LoopCore, file: string, wish: CopyWish): Promise<void> =>
  start(core, 'move', wish, (present) => newFile(present.file, file));

/** The same of an overlay, without a name in place of its delta. EINVAL for a plain file. */
export const loopFlatten = (core: LoopCore, file: string | undefined, wish: CopyWish): Promise<void> =>
  start(core, 'flatten', wish, async (present) => {
    const { overlay } = present.file;
    if (overlay === undefined)
      throw new LoopError('EINVAL', `${core.name} has no overlay that could be flattened.`);
    if (file !== undefined) return newFile(present.file, file);
    if (overlay.isTemporary) {
      throw new LoopError(
        'EINVAL',
        `The delta of ${core.name} has no name that a file could take: name one.`,
      );
    }
    return inPlaceOf(present.file, { path: overlay.delta, identity: overlay.deltaIdentity });
  });

/**
 * Writes what the delta holds into its base, a file or the delta below, which the device has from then on; the delta is gone.
 * EINVAL for a plain file, EFBIG where the delta below shows less, EBUSY while others have the base, EBADF where it can't be
 * written.
 */
export const loopCommit = (core: LoopCore, wish: CopyWish): Promise<void> =>
  start(core, 'commit', wish, async (present) => {
    if (!(present.file instanceof OverlayFile)) {
      throw new LoopError('EINVAL', `${core.name} has no overlay that could be committed.`);
    }
    return intoBase(core, present.file);
  });

/** Cancels the copy that runs. ENOENT where none does. */
export async function loopCancelCopy(core: LoopCore): Promise<void> {
  const { copy } = core;
  if (copy === undefined || !copy.isRunning)
    throw new LoopError('ENOENT', `Nothing of ${core.name} is being copied.`);
  copy.cancel();
  await copy.settled;
}

async function start(
  core: LoopCore,
  kind: CopyStatus['kind'],
  { rate = 0 }: CopyWish,
  choose: (present: Binding) => Promise<Target>,
): Promise<void> {
  if (!Number.isFinite(rate) || rate < 0)
    throw new LoopError('EINVAL', 'A rate is a number of bytes a second.');
  await core.exclusive(async () => {
    const present = core.bound();
    if (core.copy?.isRunning === true || present.file.isCopied === true) {
      throw new LoopError(
        'EBUSY',
        `${core.name} is being copied to ${core.copy?.file() ?? 'a file'} already.`,
      );
    }
    const target = await choose(present);
    let job: CopyJob;
    let file: MirrorFile;
    try {
      [job, file] = await prepare(core, kind, present, target, rate);
      await using frozen = await core.queue.freeze();
      core.publish(frozen, { ...present, file });
    } catch (error) {
      await target.undo();
      throw error;
    }
    core.copy = job;
    void core.detached(kind, () => carryOut(core, job, file, target));
    return 'change';
  });
}

async function prepare(
  core: LoopCore,
  kind: CopyStatus['kind'],
  present: Binding,
  target: Target,
  rate: number,
): Promise<[CopyJob, MirrorFile]> {
  const { to } = target;
  const size = Number(await present.file.size());
  const mirror: MirrorDescription = {
    kind: 'mirror',
    from: fromOf(present),
    to:
      to instanceof OverlayFile
        ? to.describe()
        : { kind: 'file', fd: to.fd, alignment: 1, tellsHoles: to.tellsHoles },
    shared: MirrorShared.make(size),
  };
  const nameOf = (): string => target.finalPath ?? (to instanceof OverlayFile ? to.delta : to.path);
  const job = new CopyJob({ kind, mirror, size, file: nameOf, source: core.name, rate });
  const abandon = async (): Promise<void> => {
    await job.stopped();
    try {
      await target.undo();
    } finally {
      if (job.isRunning) job.end({ state: 'cancelled' });
    }
  };
  return [job, new MirrorFile(present.file, to, mirror, abandon)];
}

/** The store that the device has without the mirror. */
function fromOf(present: Binding): FileDescription | OverlayDescription {
  const inner = present.file.describe?.(present.directIo) ?? storeOf({ ...present, wrappers: [] })?.inner;
  if (inner !== undefined && inner.kind !== 'mirror') return inner;
  const { fd, dioAlignment, tellsHoles } = present.file;
  return { kind: 'file', fd, alignment: present.directIo ? dioAlignment : 1, tellsHoles };
}

/** Until the device has the new file, or the old one alone again. Never rejects. */
async function carryOut(core: LoopCore, job: CopyJob, file: MirrorFile, target: Target): Promise<void> {
  let failure: unknown;
  let isSwapped = false;
  try {
    if ((await job.run()) === 'copied') {
      await file.to.sync();
      isSwapped = await swap(core, job, file, target);
    }
  } catch (error) {
    failure = error;
  }
  if (isSwapped) {
    await target.done(file.from).catch((error: unknown) => core.host.report(core, error));
    job.end({ state: 'done' });
    return;
  }
  await putBack(core, file).catch((error: unknown) => core.host.report(core, error));
  await target.undo().catch((error: unknown) => core.host.report(core, error));
  if (failure === undefined) job.end({ state: 'cancelled' });
  else {
    const errno: ErrnoName = failure instanceof LoopError ? failure.errno : 'EIO';
    job.end({
      state: 'failed',
      errno,
      message: failure instanceof Error ? failure.message : String(failure),
    });
  }
}

/** The device has the copy from here on. False where it was let go of meanwhile. */
async function swap(core: LoopCore, job: CopyJob, file: MirrorFile, target: Target): Promise<boolean> {
  let isSwapped = false;
  await core.exclusive(async () => {
    const present = core.binding;
    if (core.state !== 'bound' || present?.file !== file || job.isCancelled) return undefined;
    const direct = await startDirectIo(file.to, present);
    const { finalPath: alsoAt, superseded } = target;
    const wanted: Binding = { ...present, file: file.to, ...direct, alsoAt, superseded };
    const began = performance.now();
    await using frozen = await core.queue.freeze();
    await file.to.sync();
    job.expectGood();
    await target.ready?.();
    if ((await file.to.size()) < BigInt(job.size))
      throw new LoopError('EIO', `${job.file()} became shorter.`);
    await core.note(wanted);
    const isGone = await orReport(core, async () => target.gone?.());
    core.publish(frozen, wanted);
    frozen.thaw();
    job.end({ state: 'running', waitedMs: performance.now() - began });
    isSwapped = true;
    const hasName = await giveName(core, file.to.path, target);
    if (superseded !== undefined && isGone && hasName) {
      core.setUnseen({ superseded: undefined });
      await orReport(core, () => core.note(core.bound()));
    }
    return 'change';
  });
  return isSwapped;
}

/** False where it failed, which is reported. */
const orReport = (core: LoopCore, work: () => Promise<void>): Promise<boolean> =>
  work().then(
    () => true,
    (error: unknown) => {
      core.host.report(core, error);
      return false;
    },
  );

/**
 * The device has the file already: where it can't have its name it keeps the one it has, and this is false. Caller holds
 * loMutex.
 */
async function giveName(core: LoopCore, present: string, target: Target): Promise<boolean> {
  const { finalPath } = target;
  if (finalPath === undefined) return true;
  const isGiven = await orReport(core, async () => {
    await rename(nameToBytes(present), nameToBytes(finalPath));
    await syncDirectory(finalPath);
  });
  if (isGiven) return true;
  if ((await stat(nameToBytes(present)).catch(() => undefined)) !== undefined) delete target.finalPath;
  return false;
}

/** The old file alone, as before. */
const putBack = (core: LoopCore, file: MirrorFile): Promise<void> =>
  core.exclusive(async () => {
    const present = core.binding;
    if (core.state !== 'bound' || present?.file !== file) return undefined;
    await using frozen = await core.queue.freeze();
    core.publish(frozen, { ...present, file: file.from });
    return 'change';
  });

async function newFile(from: Backing, path: string): Promise<Target> {
  await make(from, path);
  let to: BackingFile;
  try {
    to = await BackingFile.open(path, { readOnly: false });
  } catch (error) {
    await rm(nameToBytes(path), { force: true });
    throw error;
  }
  return {
    to,
    done: async (old) => old.close(),
    undo: async () => {
      const present = to.path;
      try {
        await to.close();
      } finally {
        await rm(nameToBytes(present), { force: true });
      }
    },
  };
}

async function inPlaceOf(from: Backing, superseded: Superseded): Promise<Target> {
  const { path } = superseded;
  const target = await newFile(from, `${path}.${randomBytes(4).toString('hex')}`);
  return { ...target, finalPath: path, superseded };
}

async function make(from: Backing, path: string): Promise<void> {
  const { mode } = await stat(nameToBytes(from.path)).catch(() => ({ mode: 0o600 }));
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
  const refused = (error: unknown): LoopError => {
    if (error instanceof LoopError) return error;
    const errno = codeOf(error);
    const what = errno === 'EEXIST' ? 'exists already' : `can't be made (${errno})`;
    return new LoopError(errno, `${path} ${what}.`);
  };
  // Until it is made, whatever has the name is somebody else's.
  const file = await open(nameToBytes(path), flags, mode & 0o777).catch((error: unknown) => {
    throw refused(error);
  });
  try {
    await file.truncate(Number(await from.size()));
    await file.sync();
    await syncDirectory(path);
  } catch (error) {
    await rm(nameToBytes(path), { force: true }).catch(() => undefined);
    throw refused(error);
  } finally {
    await file.close();
  }
}
