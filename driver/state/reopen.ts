/** How the file of a recorded device is opened again: as it was handed over, or by its name, and proven to be the same. */
import { rename, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import { nameToBytes } from '../file-name.js';
import { BackingFile, type HandedFile } from '../io/backing-file.js';
import { type FileIdentity, sameFile } from '../io/file-identity.js';
import { FileLane } from '../io/file-lanes.js';
import { identityOfName } from '../io/named-file.js';
import type { Backing } from '../loop/backing.js';
import type { Restored } from '../loop/configure.js';
import type { LoopControl } from '../loop/loop-control.js';
import { syncDirectory } from '../loop/overlay/new-delta.js';
import { loopSize } from '../loop/parameters.js';
import { isEnding } from '../process-end.js';
import type { HandedOver } from './handed.js';
import type { DeviceRecord, OverlayRecord } from './state.js';
import type { KeeperLog } from './state-keeper.js';

export interface ReopenParts {
  readonly loops: LoopControl;
  readonly log: KeeperLog;
  /** A daemon before this one that was killed, or has ended, and still hangs in the kernel with its locks. */
  readonly predecessor?: number | undefined;
}

/** A predecessor that has just ended may still hold a file's lock for a moment: so often it is tried again. */
const LOCK_ATTEMPTS = 40;
const LOCK_RETRY_MS = 50;

/** The very same open file where it was handed over; else by its name, and proven to be the same. */
export async function openAgain(
  record: DeviceRecord,
  handed: HandedOver,
  { loops, log, predecessor }: ReopenParts,
): Promise<Backing> {
  const open = handed.takeFile(record.number);
  const layers = handed.takeLayers(record.number);
  if (open !== undefined) {
    try {
      return await adopt(record, open, layers, loops);
    } catch (err) {
      log.error({ err, device: `loop${record.number}` }, 'what was handed over is not its file');
    }
  }
  return openByName(record, record.identity, loops, predecessor);
}

function adopt(
  record: DeviceRecord,
  open: HandedFile,
  layers: readonly number[],
  loops: LoopControl,
): Promise<Backing> {
  const { file, readOnly, identity, overlay } = record;
  if (overlay === null) return BackingFile.adopt(open, identity);
  const handed = { delta: open, deltaIdentity: overlay.identity, layers };
  const wanted = { delta: overlay.delta, temporary: overlay.temporary };
  return loops.openFile({ file, readOnly, identity, overlay: wanted, handed });
}

/** `meant`: what it must be; undefined: whatever has the name. `predecessor`: its locks are waited for as long as it ends. */
export async function openByName(
  record: DeviceRecord,
  meant: FileIdentity | undefined,
  loops: LoopControl,
  predecessor?: number,
): Promise<Backing> {
  const { alsoAt, ...rest } = record;
  if (alsoAt !== undefined && alsoAt !== record.file) {
    const found = await openByName({ ...rest, file: alsoAt }, meant, loops).catch(() => undefined);
    if (found !== undefined) return found;
  }
  const { file, readOnly, overlay } = record;
  const named = { file, readOnly, ...(meant && { identity: meant }) };
  for (let attempt = 1; ; attempt++) {
    try {
      if (overlay === null) return await loops.openFile(named);
      return await openOverlay(named, overlay, meant === undefined, loops);
    } catch (error) {
      const isLocked = error instanceof LoopError && error.errno === 'EBUSY';
      const isEnough = attempt >= LOCK_ATTEMPTS && !(predecessor !== undefined && isEnding(predecessor));
      if (!isLocked || isEnough) throw error;
      await sleep(LOCK_RETRY_MS);
    }
  }
}

/** The delta that was recorded, or the one that was about to take its place. */
async function openOverlay(
  named: { readonly file: string; readonly readOnly: boolean; readonly identity?: FileIdentity },
  { delta, temporary, identity, next }: OverlayRecord,
  force: boolean,
  loops: LoopControl,
): Promise<Backing> {
  if (temporary) {
    throw new LoopError('EBADF', `The delta over ${named.file} had no name, and is gone with the daemon.`);
  }
  const open = (deltaIdentity: FileIdentity): Promise<Backing> =>
    loops.openFile({ ...named, overlay: { delta, force }, deltaIdentity });
  if (next === null) return open(identity);
  try {
    return await open(next);
  } catch (error) {
    if (error instanceof LoopError && error.errno === 'ESTALE') return open(identity);
    throw error;
  }
}

/** Whoever has the device open counts on its size. Throws EINVAL. */
export async function checkSize(record: DeviceRecord, file: Backing): Promise<void> {
  const size = loopSize(await file.size(), record);
  if (size === record.size) return;
  throw new LoopError(
    'EINVAL',
    `${file.path} makes a device of ${size} bytes, and loop${record.number} has ${record.size}.`,
  );
}

/** Binds the file as it was bound. Throws what binding throws; the file stays the caller's then. */
export async function restore(
  record: DeviceRecord,
  file: Backing,
  { loops, log }: ReopenParts,
): Promise<void> {
  const { number, id, size, offset, sizeLimit, blockSize } = record;
  const { readOnly, autoclear, partscan, directIo, reference, exportName, description } = record;
  const config = { offset, sizeLimit, blockSize, readOnly, autoclear, partscan, directIo, reference };
  const text = {
    exportName: exportName ?? '',
    description: description ?? '',
    fenced: record.fenced === true,
    limits: record.limits ?? {},
  };
  const left = await finishSwap(record, file).catch((err: unknown) => {
    log.error({ err, device: `loop${number}` }, 'a delta whose content the file has by now is still there');
    return record;
  });
  const { alsoAt, superseded } = left;
  await loops.restore(
    number,
    file,
    { file: file.path, ...config, ...text },
    { id, size, alsoAt, superseded },
  );
  log.info({ device: `loop${number}`, file: file.path }, 'brought back');
}

/**
 * A daemon that gave the device a copy (`swap` in loop/copy/copy.ts) may have ended before the delta that was copied was gone, which
 * is done here: it is removed, or, of a flatten, the copy takes its name. Until then the device must not be written to, since whoever
 * found that delta would have it hide the newer content. Returns what is still to be done: nothing. Throws what removing and renaming do.
 */
async function finishSwap(
  { superseded, alsoAt, identity }: DeviceRecord,
  file: Backing,
): Promise<Pick<Restored, 'alsoAt' | 'superseded'>> {
  // The user vouches for another file: what was to become of the one before is not known.
  if (superseded === undefined || !sameFile(file.identity, identity)) return {};
  const { path } = superseded;
  const isAt = async (name: string, meant: FileIdentity): Promise<boolean> => {
    const found = await identityOfName(name).catch(() => undefined);
    return found !== undefined && sameFile(found, meant);
  };
  const copy = file.path;
  await FileLane.of(path).run(async () => {
    if (!(await isAt(path, superseded.identity))) return;
    if (alsoAt === undefined) await rm(nameToBytes(path), { force: true });
    else if (await isAt(copy, identity)) await rename(nameToBytes(copy), nameToBytes(alsoAt));
    await syncDirectory(path);
  });
  return {};
}
