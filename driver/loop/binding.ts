import type { FileIdentity } from '../io/file-identity.js';
import type { StoreDescription, WrapperDescription } from '../store/description.js';
import type { Backing } from './backing.js';
import type { ExportText } from './export-names.js';
import type { Parameters } from './parameters.js';

/** A delta that was committed or flattened. Until its name is gone, whoever finds it there would take it for the newer one. */
export interface Superseded {
  readonly path: string;
  readonly identity: FileIdentity;
}

/** What a bound device serves. Never changed, only replaced, so that every look at it sees one whole. */
export interface Binding extends Parameters, ExportText {
  /**
   * Which configure bound it: a uuid, by which clients, the kernel and the next daemon know it. It stays the same when
   * the file is swapped.
   */
  readonly id: string;
  readonly file: Backing;
  /** Stays when the file is swapped or renamed. */
  readonly reference: string;
  /** What the user may not expect of how it is bound: sentences. */
  readonly notes: readonly string[];
  /** Bytes, whole sectors. */
  readonly size: number;
  /** The delta that is about to take the place of the present one. */
  readonly nextDelta?: FileIdentity;
  /** Where the file is about to be, or is already. */
  readonly alsoAt?: string | undefined;
  /** Whose content the file has by now; absent once its name is gone. */
  readonly superseded?: Superseded | undefined;
  /** Between the gate and the file, from the inside to the outside. */
  readonly wrappers: readonly WrapperDescription[];
  /** Another host may have the file: any doubt takes the device down. */
  readonly isFenced: boolean;
}

/** What threads open of a binding; undefined in the plain case, which the device's words tell. */
export function storeOf({ file, directIo, wrappers }: Binding): StoreDescription | undefined {
  const inner = file.describe?.(directIo);
  if (inner !== undefined) return { inner, wrappers };
  if (wrappers.length === 0) return undefined;
  const { fd, dioAlignment, tellsHoles } = file;
  return { inner: { kind: 'file', fd, alignment: directIo ? dioAlignment : 1, tellsHoles }, wrappers };
}
