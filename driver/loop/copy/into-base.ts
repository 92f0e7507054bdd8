/** What an overlay is committed into: the file below its delta, or the delta below, which is then the one that is written. */
import fs from 'node:fs';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { LoopError } from '../../errno.js';
import { nameToBytes } from '../../file-name.js';
import { BackingFile } from '../../io/backing-file.js';
import { noteHeader, readBits } from '../../store/delta/delta-file.js';
import type { LoopCore } from '../loop-core.js';
import { syncDirectory } from '../overlay/new-delta.js';
import { inUse } from '../overlay/open-overlay.js';
import { OverlayFile } from '../overlay/overlay-file.js';
import { keyOf, type SharedLayer } from '../overlay/shared-layer.js';
import { TopMaps } from '../overlay/top-maps.js';
import type { Target } from './target.js';

const truncate = promisify(fs.ftruncate);

/**
 * The delta says from here on that it is being committed: whatever becomes of this, what it holds hides what its base has
 * of it. Throws EROFS, EBUSY, EFBIG, EBADF.
 */
export async function intoBase(core: LoopCore, overlay: OverlayFile): Promise<Target> {
  const { delta, below } = overlay.pieces;
  const base = below[0] as SharedLayer;
  if (!delta.writable) throw new LoopError('EROFS', `${delta.path} is read-only: it can't be committed.`);
  if (base.users > 1) {
    throw new LoopError('EBUSY', `${base.file.path} is the base of ${base.users - 1} other devices, too.`);
  }
  if (!mayGrow(base) && (await base.now()).size < overlay.header.virtualSize) {
    throw new LoopError(
      'EFBIG',
      `${base.file.path} shows less than ${core.name} has by now: flatten makes one file of them.`,
    );
  }
  await overlay.sync();
  await base.file.letWriters(true);
  let target: Pick<Target, 'to' | 'ready' | 'undo'> | undefined;
  const letGo = async (): Promise<void> => {
    try {
      await target?.undo();
    } finally {
      await base.file.letWriters(false);
    }
  };
  // Where the base is not durable as it is, the delta goes on hiding what it has of it.
  const undo = async (): Promise<void> => {
    await letGo();
    await overlay.changeHeader({ isCommitting: false, base: await base.asBase() });
  };
  // Before anything of the base changes, were it only its time: a delta that does not say so takes it for another one.
  await overlay.changeHeader({ isCommitting: true }).catch(async (error: unknown) => {
    await letGo();
    throw error;
  });
  try {
    target =
      base.delta === undefined
        ? await theFile(base, overlay.header.virtualSize)
        : await theDelta(base, overlay);
  } catch (error) {
    await undo();
    throw error;
  }
  // Whoever finds both after a power cut would lay it over what was written to the base since.
  const { path, identity } = delta;
  const gone = async (): Promise<void> => {
    await rm(nameToBytes(path), { force: true });
    await syncDirectory(path);
  };
  const named = overlay.isTemporary ? {} : { gone, superseded: { path, identity } };
  return { ...target, ...named, done: () => overlay.close(), undo };
}

async function openToWrite({ file: { path, identity } }: SharedLayer): Promise<BackingFile> {
  const to = await BackingFile.open(path, { readOnly: false, identity });
  if (to.writable) return to;
  await to.close();
  throw new LoopError('EBADF', `${path} can't be written.`);
}

/** What a device shows behind the end of a regular file is written behind it, or is a hole there. */
const mayGrow = ({ delta, file }: SharedLayer): boolean =>
  delta === undefined && file.identity.kind === 'regular';

async function theFile(base: SharedLayer, bytes: number): Promise<Pick<Target, 'to' | 'ready' | 'undo'>> {
  const to = await openToWrite(base);
  const ready = async (): Promise<void> => {
    if ((await to.size()) >= BigInt(bytes)) return;
    await to.inTurn((fd) => truncate(fd, bytes));
    await to.sync();
  };
  const undo = async (): Promise<void> => {
    try {
      await to.sync();
    } finally {
      await to.close();
    }
  };
  return { to, ready, undo };
}

/** It stays sealed until all is copied: until then nobody else opens it to write. */
async function theDelta(
  base: SharedLayer,
  { pieces: { below, named, mapDirectory } }: OverlayFile,
): Promise<Pick<Target, 'to' | 'ready' | 'undo'>> {
  const present = (base.delta as NonNullable<SharedLayer['delta']>).header;
  const delta = await openToWrite(base);
  const key = keyOf(delta.identity);
  try {
    if (inUse.has(key)) throw new LoopError('EBUSY', `${delta.path} is the delta of another device.`);
    const onDisk = await delta.inTurn((fd) => readBits(fd, present, delta.path));
    const session = present.session + 1;
    const header = await delta.inTurn((fd) => noteHeader(fd, { ...present, session, isClean: false }));
    const maps = await TopMaps.make(header, onDisk, { directory: mapDirectory });
    inUse.add(key);
    const lower = below.slice(1).map((layer) => layer.share());
    const to = new OverlayFile({
      ...{ delta, header, maps, below: lower, isTemporary: false, mapDirectory },
      // The one that was named may be the delta itself.
      named: named === base ? (lower[0] as SharedLayer) : named,
      onClosed: () => void inUse.delete(key),
    });
    const undo = async (): Promise<void> => {
      try {
        await to.changeHeader({ isSealed: true });
      } finally {
        await to.close();
      }
      base.become(to.header);
    };
    return { to, ready: () => to.changeHeader({ isSealed: false }), undo };
  } catch (error) {
    await delta.close();
    throw error;
  }
}
