import { LoopError } from '../../errno.js';
import type { BackingFile, HandedFile } from '../../io/backing-file.js';
import type { ExaminedFile } from '../../io/file-identity.js';
import type { FileRenewal } from '../../io/file-renewal.js';
import { wordsOf } from '../../io/mapped.js';
import { countBits, isSet } from '../../store/delta/blocks.js';
import {
  readFully,
  setLength,
  syncData,
  writeBits,
  writeFully,
  writeHeader,
} from '../../store/delta/delta-file.js';
import { FlushState } from '../../store/delta/flush-state.js';
import {
  BITMAP_PAGE,
  bitmapBytesFor,
  blocksOf,
  type DeltaHeader,
  MAX_BLOCKS,
} from '../../store/delta/header.js';
import type { OverlayDescription } from '../../store/description.js';
import type { Backing, Layer, OverlayParts } from '../backing.js';
import type { SharedLayer } from './shared-layer.js';
import type { TopMaps } from './top-maps.js';
import { TopMaps as Maps } from './top-maps.js';

export interface OverlayPieces {
  /** Locked for us alone where it is written. */
  readonly delta: BackingFile;
  readonly header: DeltaHeader;
  readonly maps: TopMaps;
  /** From above: deltas that are read, and at the end the base. */
  readonly below: readonly SharedLayer[];
  /** The one that the user named. */
  readonly named: SharedLayer;
  readonly isTemporary: boolean;
  readonly mapDirectory: string | undefined;
  /** The delta is no longer ours. */
  readonly onClosed: () => void;
}

/** An overlay behind a device, on the control side. It owns its delta, and one use of each layer below. */
export class OverlayFile implements Backing, OverlayParts {
  readonly identity: ExaminedFile;
  readonly domain: string;
  readonly usable = true;
  readonly writable: boolean;
  /** Of what it could be if it were for overlays; `setDirect` refuses. */
  readonly dioAlignment: number;
  readonly tellsHoles = true;
  readonly isTemporary: boolean;
  #header: DeltaHeader;
  #maps: TopMaps;
  /** Maps that threads had before: unmapped at the end. */
  readonly #former: TopMaps[] = [];
  #isClosed = false;

  constructor(readonly pieces: OverlayPieces) {
    const { delta, header, maps, below, named, isTemporary } = pieces;
    this.#header = header;
    this.#maps = maps;
    this.identity = named.file.identity;
    this.writable = delta.writable;
    this.dioAlignment = delta.dioAlignment;
    this.isTemporary = isTemporary;
    const domains = new Set([delta.domain, ...below.map(({ file }) => file.domain)]);
    this.domain = [...domains].sort().join(' and ');
  }

  get overlay(): OverlayParts {
    return this;
  }

  get header(): DeltaHeader {
    return this.#header;
  }

  get maps(): TopMaps {
    return this.#maps;
  }

  get fd(): number {
    return this.pieces.delta.fd;
  }

  get path(): string {
    return this.pieces.named.file.path;
  }

  get delta(): string {
    return this.pieces.delta.path;
  }

  get deltaIdentity(): ExaminedFile {
    return this.pieces.delta.identity;
  }

  get warnings(): readonly string[] {
    return [...this.pieces.named.file.warnings, ...this.pieces.delta.warnings];
  }

  get depth(): number {
    return this.pieces.below.length + 1;
  }

  get pathsBelow(): readonly string[] {
    return this.pieces.below.map(({ file }) => file.path);
  }

  get handed(): HandedFile {
    return this.pieces.delta.handed;
  }

  /** Descriptors of the layers below, for a daemon that goes on with them. */
  get handedLayers(): readonly number[] {
    return this.pieces.below.map(({ file }) => file.fd);
  }

  layers(): readonly Layer[] {
    const { delta, below } = this.pieces;
    const { uuid, blockSize, virtualSize } = this.#header;
    const held = countBits(wordsOf(this.#maps.present), blocksOf(virtualSize, blockSize));
    const top = { kind: 'delta', path: delta.path, uuid, identity: delta.identity } as const;
    return [
      { ...top, blockSize, heldBlocks: held, size: virtualSize },
      ...below.map(({ file: { path, identity }, delta: lower }, index): Layer => {
        if (lower === undefined) {
          const size = this.#sizeBelow(index);
          return { kind: 'base', path, identity, uuid: null, blockSize: null, heldBlocks: null, size };
        }
        const { header, bits } = lower;
        return {
          ...{ kind: 'delta', path, identity, uuid: header.uuid, blockSize: header.blockSize },
          heldBlocks: countBits(new Int32Array(bits), blocksOf(header.virtualSize, header.blockSize)),
          size: header.virtualSize,
        };
      }),
    ];
  }

  /** What the delta above the base notes of it. */
  #sizeBelow(index: number): number {
    const above = index === 0 ? this.#header : this.pieces.below[index - 1]?.delta?.header;
    return above?.base.size ?? 0;
  }

  describe(): OverlayDescription {
    const { delta, below } = this.pieces;
    const lowers = below.flatMap(({ file: { fd, tellsHoles }, delta: lower }) =>
      lower === undefined
        ? []
        : [
            {
              ...{ fd, tellsHoles, bits: lower.bits, blockSize: lower.header.blockSize },
              ...{ size: lower.header.virtualSize, dataOffset: lower.header.dataOffset },
            },
          ],
    );
    const { fd, tellsHoles } = (below.at(-1) as SharedLayer).file;
    return { kind: 'overlay', top: this.#maps.layer(this.#header, delta), lowers, base: { fd, tellsHoles } };
  }

  async size(): Promise<bigint> {
    return BigInt(this.#header.virtualSize);
  }

  /** Everything that was written is durable, and so is the bitmap that tells of it. Requests may run. */
  sync(): Promise<void> {
    const { delta } = this.pieces;
    if (!delta.writable) return Promise.resolve();
    return delta.inTurn(async (fd) => {
      const bits = Buffer.from(this.#maps.bits());
      await syncData(fd);
      const durable = wordsOf(this.#maps.durable);
      const state = new FlushState(this.#maps.flushState);
      new Int32Array(bits.buffer, bits.byteOffset, bits.length / 4).forEach((word, index) => {
        if ((word & ~Atomics.load(durable, index)) === 0) return;
        // A FLUSH meanwhile must not take it for written.
        state.notePageSet(Math.floor((index * 4) / BITMAP_PAGE));
        Atomics.or(durable, index, word);
      });
      await writeBits(fd, Buffer.from(durable.buffer, durable.byteOffset, durable.byteLength));
    });
  }

  async setDirect(_on: boolean): Promise<void> {
    throw new LoopError('EINVAL', `${this.path} has an overlay, which goes through the page cache.`);
  }

  async settle(): Promise<void> {
    if (!this.writable) return;
    await this.sync();
    await this.changeHeader({ isClean: true });
    await this.#maps.forget();
  }

  /** Durable when this resolves. */
  changeHeader(change: Partial<DeltaHeader>): Promise<void> {
    return this.pieces.delta.inTurn(async (fd) => {
      this.#header = await writeHeader(fd, { ...this.#header, ...change });
    });
  }

  async growth(): Promise<{ readonly size: number; readonly apply: () => Promise<void> } | undefined> {
    const { delta, below } = this.pieces;
    const header = this.#header;
    const [base] = below;
    const now = await base?.now();
    const own = Number(await delta.size()) - header.dataOffset;
    const rounded = blocksOf(header.virtualSize, header.blockSize) * header.blockSize;
    const size = Math.max(header.virtualSize, now?.size ?? 0, own > rounded ? own : 0);
    if (!delta.writable || size === header.virtualSize || base === undefined) return undefined;
    const isBeyond = blocksOf(size, header.blockSize) > MAX_BLOCKS;
    if (isBeyond || bitmapBytesFor(size, header.blockSize) > header.bitmapBytes) {
      throw new LoopError('EFBIG', `The bitmap of ${delta.path} is too small for ${size} bytes.`);
    }
    const noted = await base.asBase();
    return {
      size,
      apply: async () => {
        await this.sync();
        const bits = Buffer.from(this.#maps.bits());
        await delta.inTurn((fd) => setLength(fd, { ...header, virtualSize: size }));
        await this.#copyTail(base, Math.min(rounded, size));
        await this.changeHeader({ virtualSize: size, base: noted });
        this.#former.push(this.#maps);
        this.#maps = await Maps.make(this.#header, bits, { directory: this.pieces.mapDirectory });
      },
    };
  }

  /** A last block that is held, and was not whole, gets what the base has behind its end by now. */
  async #copyTail(base: SharedLayer, end: number): Promise<void> {
    const { virtualSize, blockSize, dataOffset } = this.#header;
    const last = Math.floor(virtualSize / blockSize);
    if (end <= virtualSize || base.delta !== undefined) return;
    if (!isSet(wordsOf(this.#maps.present), last)) return;
    const bytes = await base.file.inTurn((fd) => readFully(fd, virtualSize, end - virtualSize));
    await this.pieces.delta.inTurn((fd) => writeFully(fd, bytes, dataOffset + virtualSize));
  }

  /** The delta is ours, and nobody writes a layer below it. */
  async hasLock(): Promise<boolean> {
    const files = [this.pieces.delta, ...this.pieces.below.map(({ file }) => file)];
    return (await Promise.all(files.map((file) => file.hasLock()))).every((isHeld) => isHeld);
  }

  async renewal(): Promise<FileRenewal> {
    const renewals: FileRenewal[] = [];
    const drop = async (): Promise<void> => {
      for (const one of renewals) await one.drop();
    };
    try {
      for (const file of [this.pieces.delta, ...this.pieces.below.map((layer) => layer.file)]) {
        renewals.push(await file.renewal());
      }
    } catch (error) {
      await drop();
      throw error;
    }
    const take = async (): Promise<void> => {
      for (const one of renewals) await one.take();
    };
    return { take, drop };
  }

  /** Its files are another's by now, and no thread looks at its maps. */
  async leave(): Promise<void> {
    this.#isClosed = true;
    for (const maps of [...this.#former, this.#maps]) maps.unmap();
    this.pieces.onClosed();
    await this.#maps.forget();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.settle();
    } finally {
      await this.#letGo();
    }
  }

  /** What was not flushed stays in the maps that outlive the process, for whoever opens the delta next, if nobody else did. */
  async lose(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const layer of this.pieces.below) layer.disown();
    await this.#letGo();
  }

  async #letGo(): Promise<void> {
    const { delta, below, onClosed } = this.pieces;
    for (const maps of [...this.#former, this.#maps]) maps.unmap();
    try {
      await delta.close();
    } finally {
      onClosed();
      for (const layer of below) await layer.close();
    }
  }
}
