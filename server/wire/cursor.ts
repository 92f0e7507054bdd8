/** Reads the variable parts of an option's data front to back; whatever is not there is undefined. */

import { MAX_STRING } from './constants.js';
import { count16, count32 } from './structs.js';
import { decodeText } from './text.js';

export class Cursor {
  #at = 0;

  constructor(private readonly data: Buffer) {}

  /** Bytes not taken yet. */
  get left(): number {
    return this.data.length - this.#at;
  }

  u16(): number | undefined {
    const bytes = this.take(count16.span);
    return bytes && count16.decode(bytes).count;
  }

  u32(): number | undefined {
    const bytes = this.take(count32.span);
    return bytes && count32.decode(bytes).count;
  }

  /** A string with its 32-bit length before it; of at most `limit` bytes. */
  text(limit = MAX_STRING): string | undefined {
    const length = this.u32();
    const bytes = length === undefined || length > limit ? undefined : this.take(length);
    return bytes && decodeText(bytes);
  }

  private take(length: number): Buffer | undefined {
    if (length > this.left) return undefined;
    const bytes = this.data.subarray(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }
}
