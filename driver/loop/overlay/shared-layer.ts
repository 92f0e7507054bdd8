import { LoopError } from '../../errno.js';
import { BackingFile, type OpenOptions } from '../../io/backing-file.js';
import type { FileIdentity } from '../../io/file-identity.js';
import { isDeltaFile, readBits, readHeader } from '../../store/delta/delta-file.js';
import type { DeltaBase, DeltaHeader } from '../../store/delta/header.js';

/** What fsync of a file says on a file system that nobody writes: squashfs, ISO 9660, EROFS (the image is its own). */
const HAS_NO_SYNC: ReadonlySet<string> = new Set(['EINVAL', 'EROFS', 'ENOSYS', 'EOPNOTSUPP']);

export const keyOf = ({ device, inode, blockDevice }: FileIdentity): string =>
  blockDevice === null ? `${device}:${inode}` : `disk ${blockDevice}`;

/** A layer that is only read, and that any number of overlays of this process share: one descriptor, one bitmap. */
export class SharedLayer {
  static readonly #open = new Map<string, Promise<SharedLayer>>();
  #users = 0;
  /** No longer the one that `#open` has. */
  #isDisowned = false;
  readonly #key: string;

  private constructor(
    readonly file: BackingFile,
    /** Of a delta. */
    public delta: { readonly header: DeltaHeader; readonly bits: SharedArrayBuffer } | undefined,
  ) {
    this.#key = keyOf(file.identity);
  }

  /**
   * Opens it, or another use of it; it is durable then. EBADF, EBUSY where somebody writes it, ESTALE, EINVAL for a damaged delta,
   * and what fsync throws.
   */
  static async open(path: string, options: Omit<OpenOptions, 'readOnly'>): Promise<SharedLayer> {
    return await SharedLayer.#share(
      await BackingFile.open(path, { ...options, readOnly: true, keptFromWriters: true }),
    );
  }

  /** The same for a file that another process had open. */
  static async adopt(fd: number, meant: FileIdentity): Promise<SharedLayer> {
    return await SharedLayer.#share(await BackingFile.adopt({ file: fd, lock: undefined }, meant));
  }

  /** The delta that was written until now; the file is the layer's from here on. Nobody else has it. */
  static ofSealed(file: BackingFile, header: DeltaHeader, bits: SharedArrayBuffer): SharedLayer {
    const layer = new SharedLayer(file, { header, bits });
    layer.#users = 1;
    SharedLayer.#open.set(layer.#key, Promise.resolve(layer));
    return layer;
  }

  /** Its header is another one by now. */
  become(header: DeltaHeader): void {
    if (this.delta !== undefined) this.delta = { ...this.delta, header };
  }

  /** One more use. */
  share(): SharedLayer {
    this.#users++;
    return this;
  }

  static async #share(file: BackingFile): Promise<SharedLayer> {
    const key = keyOf(file.identity);
    for (;;) {
      const known = SharedLayer.#open.get(key);
      if (known === undefined) break;
      const layer = await known.catch(() => undefined);
      if (layer === undefined || SharedLayer.#open.get(key) !== known) continue;
      layer.#users++;
      await file.close();
      return layer;
    }
    const opening = SharedLayer.#examine(file);
    SharedLayer.#open.set(key, opening);
    try {
      const layer = await opening;
      layer.#users++;
      return layer;
    } catch (error) {
      SharedLayer.#open.delete(key);
      await file.close();
      throw error;
    }
  }

  static async #examine(file: BackingFile): Promise<SharedLayer> {
    if (!file.usable) {
      throw new LoopError('EINVAL', `${file.path} is neither a regular file nor a block device.`);
    }
    // A FLUSH of what lies over it is worth nothing where the power takes what was written below, by whomever, not long ago.
    await file.sync().catch((error: unknown) => {
      if (!(error instanceof LoopError && HAS_NO_SYNC.has(error.errno))) throw error;
    });
    const delta = await file.inTurn(async (fd) => {
      if (!(await isDeltaFile(fd))) return undefined;
      const header = await readHeader(fd, file.path);
      const bytes = await readBits(fd, header, file.path);
      const bits = new SharedArrayBuffer(bytes.length);
      new Uint8Array(bits).set(bytes);
      return { header, bits };
    });
    return new SharedLayer(file, delta);
  }

  /** How many overlays of this process have it. */
  get users(): number {
    return this.#users;
  }

  /** It is lost, or what lies over it is: who opens the file from now on opens it anew. Those that have it keep it. */
  disown(): void {
    if (this.#isDisowned) return;
    this.#isDisowned = true;
    SharedLayer.#open.delete(this.#key);
  }

  async close(): Promise<void> {
    if (--this.#users > 0) return;
    this.disown();
    await this.file.close();
  }

  /** What a delta over it notes of it. */
  async asBase(): Promise<DeltaBase> {
    const { identity, path } = this.file;
    const { size, mtime } = await this.now();
    return {
      ...{ path, size, mtime, inode: identity.inode, birthTime: identity.birthTime },
      fileSystem: identity.fileSystem,
      kind: this.delta === undefined ? 'raw' : 'delta',
      uuid: this.delta?.header.uuid ?? null,
    };
  }

  /** Bytes that it shows, and when it was changed last: 0 for a sealed delta, which is not, and for a disk, which does not tell. */
  async now(): Promise<{ readonly size: number; readonly mtime: bigint }> {
    const shown = this.delta?.header.virtualSize;
    if (this.file.identity.kind === 'block')
      return { size: shown ?? Number(await this.file.size()), mtime: 0n };
    if (shown !== undefined && this.delta?.header.isSealed === true) return { size: shown, mtime: 0n };
    const { size, mtimeNs } = await this.file.sizeAndTime();
    return { size: shown ?? Number(size), mtime: mtimeNs };
  }
}

/** How a base differs from what a delta notes of it; undefined: not at all. */
export function differenceOf(
  noted: DeltaBase,
  found: DeltaBase,
  options: { isCommitting: boolean },
): string | undefined {
  const both = <T>(a: T | null, b: T | null): boolean => a !== null && b !== null && a !== b;
  if (noted.kind !== found.kind) return `it is ${found.kind === 'raw' ? 'no delta' : 'a delta'}`;
  if (noted.uuid !== found.uuid) return 'it is another delta';
  if (noted.inode !== found.inode || both(noted.birthTime, found.birthTime)) return 'it is another file';
  if (both(noted.fileSystem, found.fileSystem)) return 'it is on another file system';
  if (options.isCommitting) return undefined;
  if (noted.size !== found.size) return `it has ${found.size} bytes, and had ${noted.size}`;
  // What was sealed under a delta that was made before that is told by its uuid.
  if (noted.mtime === 0n && noted.kind === 'delta') return undefined;
  if (noted.mtime !== found.mtime) return 'it was written to since';
  return undefined;
}
