import type { BackingFile } from '../io/backing-file.js';
import type { Parameters } from './parameters.js';

/** What a bound device serves. Never changed, only replaced, so that every look at it sees one whole. */
export interface Binding extends Parameters {
  /**
   * Which configure bound it: a uuid, by which clients, the kernel and the next daemon know it. It stays the same when
   * the file is swapped.
   */
  readonly id: string;
  readonly file: BackingFile;
  /** Stays when the file is swapped or renamed. */
  readonly reference: string;
  /** What the user may not expect of how it is bound: sentences. */
  readonly notes: readonly string[];
  /** Bytes, whole sectors. */
  readonly size: number;
}
