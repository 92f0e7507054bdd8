import type { Extents } from '../io/extents.js';
import type { ZeroSupport } from '../io/zero-range.js';

/** What a thread learned of a file. */
export class Learned implements ZeroSupport, Extents {
  splice = true;
  writeSplice = true;
  /** RWF_NOWAIT works; undefined until it was tried. */
  noWait: boolean | undefined;
  punch = true;
  zero = true;
  allocate: boolean | undefined;
  seek: boolean;
  dataStart = 0;
  dataEnd = 0;
  dataSeen = Number.NEGATIVE_INFINITY;
  #zeroed = 0;

  /** `tellsHoles`: what its file system calls a hole is one. */
  constructor(tellsHoles: boolean) {
    this.seek = tellsHoles;
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
