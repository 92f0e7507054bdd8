/** The layers of an overlay on one thread, and which of them a range is read from. */
import type { Errno } from '../../../server/backend.js';
import { wordsOf } from '../../io/mapped.js';
import type { OverlayDescription } from '../description.js';
import { FileStore, type ZeroedCount } from '../file-store.js';
import type { ThreadTools } from '../thread-tools.js';
import { isSet, runFrom } from './blocks.js';

interface DeltaLayer {
  readonly file: FileStore;
  readonly blockSize: number;
  readonly size: number;
  readonly dataOffset: number;
  readonly bits: Int32Array;
}

export class Layers {
  /** What the last `look` found: the layer that has the run, and what is added to a position to find it there. */
  file: FileStore;
  shift = 0;
  readonly top: FileStore;
  readonly base: FileStore;
  readonly #deltas: readonly DeltaLayer[];

  constructor({ top, lowers, base }: OverlayDescription, tools: ThreadTools, zeroed: ZeroedCount) {
    const open = ({ fd, tellsHoles }: { readonly fd: number; readonly tellsHoles: boolean }): FileStore =>
      new FileStore({ fd, alignment: 1, tellsHoles }, tools, zeroed);
    this.base = open(base);
    this.top = open(top);
    this.file = this.base;
    this.#deltas = [
      { ...top, file: this.top, bits: wordsOf(top.present) },
      ...lowers.map((lower) => ({ ...lower, file: open(lower), bits: new Int32Array(lower.bits) })),
    ];
  }

  /** The run at `position` that one layer has: its length, at most `length`. `from`: layers above are passed by. */
  look(position: number, length: number, from = 0): number {
    let end = position + length;
    for (let index = from; index < this.#deltas.length; index++) {
      const layer = this.#deltas[index] as DeltaLayer;
      const { blockSize, size } = layer;
      if (position >= size) continue;
      const first = Math.floor(position / blockSize);
      const isHeld = isSet(layer.bits, first);
      if (end > (first + 1) * blockSize) {
        const run = runFrom(layer.bits, first, Math.ceil(Math.min(end, size) / blockSize));
        end = Math.min(end, (first + run) * blockSize);
      }
      if (!isHeld) continue;
      this.file = layer.file;
      this.shift = layer.dataOffset;
      return end - position;
    }
    this.file = this.base;
    this.shift = 0;
    return end - position;
  }

  /** Run by run, each from its layer. `from`: as in `look`. */
  read(from: number, address: number, position: number, length: number): Errno {
    for (let done = 0; done < length; ) {
      const run = this.look(position + done, length - done, from);
      const errno = this.file.read(address + done, position + done + this.shift, run);
      if (errno !== 0) return errno;
      done += run;
    }
    return 0;
  }
}
