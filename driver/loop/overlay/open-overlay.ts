import { basename, dirname, join } from 'node:path';
import { LoopError } from '../../errno.js';
import { BackingFile, type HandedFile } from '../../io/backing-file.js';
import type { ExaminedFile, FileIdentity } from '../../io/file-identity.js';
import { noteHeader, readBits, readHeader, writeHeader } from '../../store/delta/delta-file.js';
import { type DeltaBase, type DeltaHeader, MAX_LAYERS } from '../../store/delta/header.js';
import type { WantedFile } from '../types.js';
import { headerOver, makeMissing, makeUnnamed } from './new-delta.js';
import { OverlayFile } from './overlay-file.js';
import { differenceOf, keyOf, SharedLayer } from './shared-layer.js';
import { leftBits, TopMaps } from './top-maps.js';
import type { WantedOverlay } from './wanted.js';

/** What is handed over of an overlay: its delta, and the layers below from above. */
export interface HandedOverlay {
  readonly delta: HandedFile;
  readonly deltaIdentity: FileIdentity;
  readonly layers: readonly number[];
}

export interface OverlayHost {
  /** False for a file that is a device of ours, or lies on one. */
  readonly mayOpen: (identity: ExaminedFile) => boolean;
  /** Where maps outlive this process; undefined: nowhere. */
  readonly mapDirectory: string | undefined;
}

export interface WantedOverlayFile extends WantedFile {
  readonly readOnly?: boolean;
  readonly overlay: WantedOverlay;
  /** What the delta must be. */
  readonly deltaIdentity?: FileIdentity;
  readonly handed?: HandedOverlay;
}

/** Deltas that are open, by what they are: one overlay has one for itself. */
export const inUse = new Set<string>();

/**
 * Opens a base and the delta over it, which is made where there is none.
 *
 * Throws EBADF, ESTALE where the base is not what it was, EBUSY where somebody writes the base or has the delta, EINVAL for a
 * delta that is damaged or of another base, ELOOP for a chain that is too long.
 */
export async function openOverlay(wanted: WantedOverlayFile, host: OverlayHost): Promise<OverlayFile> {
  const opened: { close(): Promise<void> }[] = [];
  const keep = <T extends { close(): Promise<void> }>(one: T): T => {
    opened.push(one);
    return one;
  };
  try {
    return await new Opening(wanted, host, keep).open();
  } catch (error) {
    for (const one of opened.reverse()) await one.close();
    throw error;
  }
}

type Keep = <T extends { close(): Promise<void> }>(one: T) => T;

class Opening {
  readonly #handed: number[];

  constructor(
    readonly wanted: WantedOverlayFile,
    readonly host: OverlayHost,
    readonly keep: Keep,
  ) {
    this.#handed = [...(wanted.handed?.layers ?? [])];
  }

  async open(): Promise<OverlayFile> {
    const { wanted, host } = this;
    const named = await this.#named();
    const isTemporary = wanted.overlay.temporary === true;
    const delta = this.keep(await this.#openDelta(named, isTemporary));
    if (!delta.usable)
      throw new LoopError('EINVAL', `${delta.path} can't be a delta: it is no regular file.`);
    const key = keyOf(delta.identity);
    if (inUse.has(key)) throw new LoopError('EBUSY', `${delta.path} is the delta of another device.`);
    inUse.add(key);
    this.keep({ close: async () => void inUse.delete(key) });
    let header = await delta.inTurn((fd) => readHeader(fd, delta.path));
    if (header.isSealed && delta.writable) {
      throw new LoopError(
        'EROFS',
        `${delta.path} is sealed: it is the base of other deltas. Make a delta over it, or bind it read-only.`,
      );
    }
    const below = await this.#chain(header, named, delta.path);
    if (this.#isForced && delta.writable) {
      const base = await (below[0] as SharedLayer).asBase();
      header = await delta.inTurn((fd) => writeHeader(fd, { ...header, base }));
    }
    if (header.isCommitting && delta.writable) {
      // It was cut short: whatever of the base was written is what the delta holds.
      const base = await (below[0] as SharedLayer).asBase();
      header = await delta.inTurn((fd) => writeHeader(fd, { ...header, base, isCommitting: false }));
    }
    const onDisk = await delta.inTurn((fd) => readBits(fd, header, delta.path));
    const left = await leftBits(host.mapDirectory, header);
    if (delta.writable && left === undefined) {
      const { session } = header;
      header = await delta.inTurn((fd) =>
        noteHeader(fd, { ...header, session: session + 1, isClean: false }),
      );
    }
    const mapDirectory = delta.writable ? host.mapDirectory : undefined;
    const maps = await TopMaps.make(header, onDisk, { left, directory: mapDirectory });
    const onClosed = (): void => void inUse.delete(key);
    const parts = { delta, header, maps, below, named, isTemporary, mapDirectory, onClosed };
    return new OverlayFile(parts);
  }

  #isForced = false;

  async #named(): Promise<SharedLayer> {
    const { file, identity, through, exclusive } = this.wanted;
    const last = this.#handed.at(-1);
    // What was handed over is from above; the one that the user named is the first delta's base, or the last.
    if (last !== undefined && identity !== undefined) {
      for (const fd of [...this.#handed]) {
        try {
          const layer = await SharedLayer.adopt(fd, identity);
          this.#handed.splice(this.#handed.indexOf(fd), 1);
          return this.keep(layer);
        } catch {
          this.#handed.splice(this.#handed.indexOf(fd), 1); // it is closed
        }
      }
    }
    return this.keep(
      await SharedLayer.open(file, {
        exclusive: exclusive === true,
        mayOpen: this.host.mayOpen,
        ...(identity === undefined ? {} : { identity }),
        ...(through === undefined ? {} : { through }),
      }),
    );
  }

  /** The layers below the delta, from above. */
  async #chain(header: DeltaHeader, named: SharedLayer, above: string): Promise<SharedLayer[]> {
    const below: SharedLayer[] = [];
    let sawNamed = false;
    let [noted, by]: [DeltaBase, string] = [header.base, above];
    for (;;) {
      const isFirst = below.length === 0;
      const layer = await this.#layerOf(noted, by, named, isFirst ? header.isCommitting : false);
      sawNamed ||= layer === named;
      below.push(layer);
      if (layer.delta === undefined) break;
      if (below.length === MAX_LAYERS) {
        throw new LoopError('ELOOP', `${above} has more than ${MAX_LAYERS} layers below it.`);
      }
      [noted, by] = [layer.delta.header.base, layer.file.path];
    }
    if (sawNamed) return below;
    throw new LoopError(
      'EINVAL',
      `${above} is no delta of ${named.file.path}: its base is ${header.base.path}.`,
    );
  }

  /** What a delta notes as its base: the named one where that is it, else what is found where it was. */
  async #layerOf(
    noted: DeltaBase,
    by: string,
    named: SharedLayer,
    isCommitting: boolean,
  ): Promise<SharedLayer> {
    const asNamed = await named.asBase();
    const isNamed = differenceOf(noted, asNamed, { isCommitting });
    if (isNamed === undefined) return named;
    const changed = (layer: SharedLayer, difference: string): LoopError =>
      new LoopError(
        'ESTALE',
        `${layer.file.path} is not what it was when ${by} was made over it: ${difference}. --force takes it as it is.`,
      );
    const isMeant =
      noted.path === asNamed.path || (noted.inode === asNamed.inode && noted.kind === asNamed.kind);
    if (isMeant || this.#isLastResort(noted, named)) {
      if (this.wanted.overlay.force !== true) throw changed(named, isNamed);
      this.#isForced = true;
      return named;
    }
    const layer = this.keep(await this.#openNoted(noted));
    const difference = differenceOf(noted, await layer.asBase(), { isCommitting });
    if (difference === undefined) return layer;
    if (this.wanted.overlay.force !== true) throw changed(layer, difference);
    this.#isForced = true;
    return layer;
  }

  /** The caller vouches for what it named, whatever was meant. */
  #isLastResort({ kind }: DeltaBase, named: SharedLayer): boolean {
    return this.wanted.overlay.force === true && (kind === 'delta') === (named.delta !== undefined);
  }

  async #openNoted({ path }: DeltaBase): Promise<SharedLayer> {
    const { mayOpen } = this.host;
    try {
      return await SharedLayer.open(path, { mayOpen });
    } catch (error) {
      // Carried elsewhere together with the delta.
      const beside = this.wanted.overlay.delta && join(dirname(this.wanted.overlay.delta), basename(path));
      if (beside === undefined || beside === '' || beside === path) throw error;
      return await SharedLayer.open(beside, { mayOpen }).catch(() => {
        throw error;
      });
    }
  }

  async #openDelta(named: SharedLayer, isTemporary: boolean): Promise<BackingFile> {
    const { wanted, host } = this;
    const { handed, overlay, readOnly = false } = wanted;
    if (handed !== undefined) return await BackingFile.adopt(handed.delta, handed.deltaIdentity);
    const options = {
      readOnly,
      mayOpen: host.mayOpen,
      ...(wanted.deltaIdentity === undefined ? {} : { identity: wanted.deltaIdentity }),
    };
    if (isTemporary || overlay.delta === undefined) {
      const file = await makeUnnamed(await headerOver(named, overlay), host.mapDirectory);
      try {
        return await BackingFile.open(`/proc/self/fd/${file.fd}`, { ...options, readOnly: false });
      } finally {
        await file.close();
      }
    }
    const path = overlay.delta;
    if (wanted.deltaIdentity === undefined) {
      await makeMissing(path, () => headerOver(named, overlay));
    }
    return await BackingFile.open(path, options);
  }
}
