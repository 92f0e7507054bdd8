/** The delta of a running overlay becomes a layer below a new one, which takes its name. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { errnoName, LoopError } from '../../errno.js';
import { nameToBytes } from '../../file-name.js';
import { BackingFile } from '../../io/backing-file.js';
import { exchangeNames } from '../../io/syscalls.js';
import { noteHeader, readBits, writeHeader } from '../../store/delta/delta-file.js';
import { type DeltaHeader, layoutFor, MAX_LAYERS } from '../../store/delta/header.js';
import { makeMissing, syncDirectory } from './new-delta.js';
import { OverlayFile } from './overlay-file.js';
import { keyOf, SharedLayer } from './shared-layer.js';
import { TopMaps } from './top-maps.js';

/** What is made before the device is frozen. */
export interface PreparedSeal {
  /** The new delta, which has the snapshot's name until they are exchanged. */
  readonly next: BackingFile;
  /** Carried out while no request is in flight: what the device has from then on. */
  exchange(): Promise<OverlayFile>;
  /** Afterwards: the layer says that it is sealed. */
  finish(): Promise<void>;
  /** In place of it. */
  undo(): Promise<void>;
}

/** Throws EEXIST, EXDEV, EROFS, ELOOP, EOPNOTSUPP, and what making a file throws. */
export async function prepareSeal(
  overlay: OverlayFile,
  path: string,
  inUse: { add(key: string): void; delete(key: string): void },
): Promise<PreparedSeal> {
  const { delta, below, named, mapDirectory } = overlay.pieces;
  const { header } = overlay;
  if (!delta.writable) throw new LoopError('EROFS', `${delta.path} is read-only: it can't be sealed.`);
  if (overlay.isTemporary) {
    throw new LoopError(
      'EOPNOTSUPP',
      `The delta over ${overlay.path} has no name that a new one could take.`,
    );
  }
  if (below.length >= MAX_LAYERS) {
    throw new LoopError(
      'ELOOP',
      `${delta.path} has ${below.length} layers below it already: commit or flatten it first.`,
    );
  }
  const { inode, birthTime, fileSystem } = delta.identity;
  const { virtualSize, blockSize } = header;
  const base = {
    ...({ kind: 'delta', path, size: virtualSize, mtime: 0n, inode, birthTime, uuid: header.uuid } as const),
    fileSystem,
  };
  const fresh: DeltaHeader = {
    ...{ sequence: 1, session: 1, uuid: randomUUID(), blockSize, virtualSize, base },
    ...{ isClean: false, isSealed: false, isCommitting: false, ...layoutFor(virtualSize, blockSize) },
  };
  await makeMissing(path, async () => fresh, 'wx');
  const remove = (): Promise<void> => rm(nameToBytes(path), { force: true });
  const next = await BackingFile.open(path, { readOnly: false }).catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  const key = keyOf(next.identity);
  let isExchanged = false;
  const undo = async (): Promise<void> => {
    inUse.delete(key);
    await next.close();
    // While the names are exchanged this one is that of the delta.
    if (!isExchanged) await remove();
  };
  if (next.identity.device !== delta.identity.device) {
    await undo();
    throw new LoopError('EXDEV', `${path} is on another file system than ${delta.path}.`);
  }
  inUse.add(key);
  let sealed: SharedLayer | undefined;
  const exchange = async (): Promise<OverlayFile> => {
    const own = delta.path;
    await overlay.sync();
    const bits = new SharedArrayBuffer(overlay.maps.present.bytes);
    new Uint8Array(bits).set(overlay.maps.bits());
    const onDisk = await next.inTurn((fd) => readBits(fd, fresh, path));
    const written = await next.inTurn((fd) => noteHeader(fd, { ...fresh, sequence: 2 }));
    const maps = await TopMaps.make(written, onDisk, { directory: mapDirectory });
    const exchangeBoth = (): number => exchangeNames(nameToBytes(path), nameToBytes(own));
    try {
      expectExchanged(exchangeBoth(), path, own);
      isExchanged = true;
      await syncDirectory(path);
      await syncDirectory(own);
    } catch (error) {
      if (isExchanged) isExchanged = exchangeBoth() !== 0;
      maps.unmap();
      await maps.forget();
      throw error;
    }
    sealed = SharedLayer.ofSealed(delta, header, bits);
    return new OverlayFile({
      ...{ delta: next, header: written, maps, below: [sealed, ...below], named },
      ...{ isTemporary: false, mapDirectory, onClosed: () => inUse.delete(key) },
    });
  };
  const finish = async (): Promise<void> => {
    const { header: before } = overlay;
    try {
      const after = await delta.inTurn((fd) => writeHeader(fd, { ...before, isSealed: true, isClean: true }));
      sealed?.become(after);
      await delta.becomeShared();
    } finally {
      await overlay.leave();
    }
  };
  return { next, exchange, finish, undo };
}

function expectExchanged(errno: number, path: string, own: string): void {
  if (errno === 0) return;
  throw new LoopError(
    errno === -22 ? 'EOPNOTSUPP' : errnoName(-errno),
    `${path} and ${own} can't exchange their names here (${errnoName(-errno)}).`,
  );
}
