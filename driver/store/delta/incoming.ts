/**
 * Blocks that the top lacks come in under a claim: looked at again, written, their bits set, given free. So two threads that write
 * two parts of one absent block lose neither, and whoever finds the bit set finds the data.
 */
import type { Errno, ZeroMode } from '../../../server/backend.js';
import { type AlignedMemory, alignedMemory } from '../../io/aligned.js';
import { MAX_BLOCK } from './header.js';
import type { Layers } from './layers.js';
import { copyBytes, type Top } from './top.js';

/** Where a block is put together; one a thread. */
let scratch: AlignedMemory | undefined;

export class Incoming {
  constructor(
    private readonly layers: Layers,
    private readonly top: Top,
    private readonly blockSize: number,
    private readonly dataOffset: number,
  ) {}

  /** Writes a range of which the top lacks blocks. */
  write(address: number, from: number, to: number): Errno {
    const block = this.blockSize;
    const first = Math.floor(from / block);
    const end = Math.ceil(to / block);
    this.top.claims.take(first, end);
    try {
      let errno: Errno = 0;
      let start = from;
      let stop = to;
      if (from % block !== 0 && !this.top.holds(first)) {
        start = Math.min((first + 1) * block, to);
        errno = this.#copyUp(first, address, from, start);
      }
      const last = end - 1;
      if (errno === 0 && start < stop && stop % block !== 0 && !this.top.holds(last)) {
        stop = Math.max(last * block, start);
        errno = this.#copyUp(last, address + (stop - from), stop, to);
      }
      if (errno === 0 && start < stop) errno = this.#put(address + (start - from), start, stop - start);
      if (errno === 0) this.top.cameIn(first, end);
      return errno;
    } finally {
      this.top.claims.give(first, end);
    }
  }

  /**
   * Writes a claimed block of which `from` to `to` is new and the rest is what the layers below have. Address 0: the new part
   * is zeroes.
   */
  #copyUp(index: number, address: number, from: number, to: number): Errno {
    const block = this.blockSize;
    const start = index * block;
    scratch ??= alignedMemory(MAX_BLOCK);
    const errno = this.layers.read(1, scratch.address, start, block);
    if (errno !== 0) return errno;
    if (address === 0) scratch.bytes.fill(0, from - start, to - start);
    else copyBytes(scratch.address + (from - start), address, to - from);
    return this.#put(scratch.address, start, block);
  }

  /** Copies up a claimed block as it is, if it is absent. */
  comeInWhole(index: number): Errno {
    const start = index * this.blockSize;
    return this.top.holds(index) ? 0 : this.#copyUp(index, 0, start, start);
  }

  #put(address: number, position: number, length: number): Errno {
    return this.layers.top.write(address, position + this.dataOffset, length);
  }

  /** Whole blocks. */
  zeroBlocks(from: number, to: number, how: ZeroMode): Errno {
    const [first, end] = [from / this.blockSize, to / this.blockSize];
    this.top.claims.take(first, end);
    const errno = this.layers.top.zero(from + this.dataOffset, to - from, how);
    if (errno === 0) this.top.cameIn(first, end);
    this.top.claims.give(first, end);
    return errno;
  }

  /** A part of one block. */
  zeroPart(from: number, to: number, how: ZeroMode): Errno {
    const index = Math.floor(from / this.blockSize);
    this.top.claims.take(index, index + 1);
    try {
      if (this.top.holds(index)) return this.layers.top.zero(from + this.dataOffset, to - from, how);
      const errno = this.#copyUp(index, 0, from, to);
      if (errno === 0) this.top.cameIn(index, index + 1);
      return errno;
    } finally {
      this.top.claims.give(index, index + 1);
    }
  }
}
