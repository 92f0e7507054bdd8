import type { Extents } from '../io/extents.js';
import type { ZeroSupport } from '../io/zero-range.js';

/** What a thread learned of a device's present file; void when the file generation moves. */
export class Learned implements ZeroSupport, Extents {
  splice = true;
  writeSplice = true;
  /** RWF_NOWAIT works; undefined until it was tried. */
  noWait: boolean | undefined;
  punch = true;
  zero = true;
  allocate: boolean | undefined;
  seek = true;
  dataStart = 0;
  dataEnd = 0;
  dataSeen = Number.NEGATIVE_INFINITY;
  #generation = -1;
  #zeroed = 0;

  /** Forgets what is not about the file of this generation. `tellsHoles`: its file system may be asked for holes. */
  of(generation: number, tellsHoles: boolean): this {
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.splice = this.writeSplice = this.punch = this.zero = true;
      this.seek = tellsHoles;
      this.noWait = this.allocate = undefined;
      this.dataStart = this.dataEnd = 0;
      this.dataSeen = Number.NEGATIVE_INFINITY;
    }
    return this;
  }

  /** `zeroed`, read before the file is looked at: what is known of data is void when this moves. */
  ofData(zeroed: number): this {
    if (zeroed !== this.#zeroed) {
      this.#zeroed = zeroed;
      this.dataSeen = Number.NEGATIVE_INFINITY;
    }
    return this;
  }
}
