import type { Errno, ZeroMode } from '../../../server/backend.js';
import { type AlignedMemory, alignedMemory } from '../../io/aligned.js';
import { memcpy } from '../../io/file-calls.js';
import { FileStore } from '../file-store.js';
import { LogFlag } from '../log/format.js';
import { LogWriter } from '../log/log-writer.js';
import type { Store } from '../store.js';
import { NO_TOOLS } from '../thread-tools.js';
import { WrappedStore, writeDurably } from '../wrapped-store.js';
import type { VolatileDescription } from './description.js';
import { SECTOR, SectorMap } from './sector-map.js';

/** Bytes that are carried over at a time. */
const PIECE = 1 << 20;
const PUNCH: ZeroMode = { punch: true, fast: false };

/**
 * A volatile write cache, as disks have one: what is written is read again, and is in the store inside only once a flush or FUA has
 * asked for it. A flush carries all of it over. The data is in a file without a name, so that memory is the page cache's; what is in
 * memory is a bit for each sector that was written.
 *
 * Reads take no lock: data is there before its bit is set, and in the store inside before it is cleared.
 */
export class VolatileStore extends WrappedStore {
  readonly #spill: FileStore;
  readonly #map: SectorMap;
  readonly #journal: LogWriter;
  readonly #limit: number;
  #piece: AlignedMemory | undefined;

  constructor(inside: Store, description: VolatileDescription) {
    super(inside);
    const { spill, tellsHoles, journal, map, bytes } = description;
    const zeroed = { value: 0, increment: (): void => {} };
    this.#spill = new FileStore({ fd: spill, alignment: 1, tellsHoles }, NO_TOOLS, zeroed);
    this.#map = new SectorMap(map, bytes);
    this.#journal = new LogWriter(journal);
    this.#limit = bytes;
  }

  read(address: number, position: number, length: number): Errno {
    for (let at = position; at < position + length; ) {
      const { isHere, end } = this.#run(at, position + length);
      const from = isHere ? this.#spill : this.inside;
      const errno = from.read(address + at - position, at, end - at);
      if (errno !== 0) return errno;
      at = end;
    }
    return 0;
  }

  write(address: number, position: number, length: number): Errno {
    if (position + length > this.#limit) return this.inside.write(address, position, length);
    return this.#journal.lock.run(() =>
      this.#covering(address, position, length, (from, at, bytes) => {
        const errno = this.#spill.write(from, at, bytes) || this.#journal.append(0, at, bytes, from);
        if (errno === 0) this.#map.set(at / SECTOR, (at + bytes) / SECTOR);
        return errno;
      }),
    );
  }

  writeThrough(address: number, position: number, length: number): Errno {
    if (position + length > this.#limit) return writeDurably(this.inside, address, position, length);
    return this.#journal.lock.run(() =>
      this.#covering(address, position, length, (from, at, bytes) => {
        const errno =
          writeDurably(this.inside, from, at, bytes) || this.#journal.append(LogFlag.FUA, at, bytes, from);
        if (errno === 0) this.#map.clear(at / SECTOR, (at + bytes) / SECTOR);
        return errno;
      }),
    );
  }

  flush(): Errno {
    return this.#journal.lock.run(() => this.#carryOver() || this.inside.flush() || this.#forget());
  }

  trim(position: number, length: number): Errno {
    return this.zero(position, length, PUNCH);
  }

  zero(position: number, length: number, how: ZeroMode): Errno {
    const end = position + length;
    if (end > this.#limit) return this.inside.zero(position, length, how);
    const isWhole = (position | length) % SECTOR === 0;
    if (!isWhole) {
      const { address } = alignedMemory(length);
      return this.write(address, position, length);
    }
    return this.#journal.lock.run(() => {
      const errno =
        this.#spill.zero(position, length, PUNCH) ||
        this.#journal.append(LogFlag.DISCARD, position, length, 0);
      if (errno === 0) this.#map.set(position / SECTOR, end / SECTOR);
      return errno;
    });
  }

  extent(position: number, length: number): number {
    const { isHere, end } = this.#run(position, position + length);
    return isHere ? end - position : this.inside.extent(position, end - position);
  }

  override prefetch(): void {}

  /** Everything is in the store inside, and still here: it may not be durable there. Caller has the lock. */
  #carryOver(): Errno {
    for (const { from, to } of this.#map.runs()) {
      for (let at = from * SECTOR; at < to * SECTOR; ) {
        const extent = this.#spill.extent(at, Math.min(PIECE, to * SECTOR - at));
        const bytes = Math.abs(extent);
        const errno = extent < 0 ? this.inside.zero(at, bytes, PUNCH) : this.#carry(at, bytes);
        if (errno !== 0) return errno;
        at += bytes;
      }
    }
    return 0;
  }

  /** Nothing is here any more. Caller has the lock. */
  #forget(): Errno {
    this.#map.reset();
    return this.#journal.clear();
  }

  #carry(position: number, length: number): Errno {
    this.#piece ??= alignedMemory(PIECE);
    const { address } = this.#piece;
    return this.#spill.read(address, position, length) || this.inside.write(address, position, length);
  }

  /** Whether `from` is here, and how far that goes; bytes. */
  #run(from: number, to: number): { readonly isHere: boolean; readonly end: number } {
    if (from >= this.#limit) return { isHere: false, end: to };
    const sector = Math.floor(from / SECTOR);
    const last = Math.ceil(Math.min(to, this.#limit) / SECTOR);
    const end = Math.min(to, this.#map.runEnd(sector, last) * SECTOR);
    return { isHere: this.#map.has(sector), end: Math.max(end, from + 1) };
  }

  /** Has `put` take whole sectors: what else is in those at the edges is read. */
  #covering(
    address: number,
    position: number,
    length: number,
    put: (address: number, position: number, length: number) => Errno,
  ): Errno {
    if ((position | length) % SECTOR === 0) return put(address, position, length);
    const from = position - (position % SECTOR);
    const bytes = Math.ceil((position + length) / SECTOR) * SECTOR - from;
    const whole = alignedMemory(bytes);
    const errno = this.read(whole.address, from, bytes);
    if (errno !== 0) return errno;
    memcpy(whole.address + position - from, address, length);
    return put(whole.address, from, bytes);
  }
}
