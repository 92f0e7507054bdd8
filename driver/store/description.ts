/**
 * What a device publishes of its stores: plain data (what `structuredClone` takes, shared memory included), from which
 * each thread opens its own. Descriptors are the control side's, and stay open while anything that names them is published.
 */

/** The plain case: a file, or a block device, is the disk. */
export interface FileDescription {
  readonly kind: 'file';
  readonly fd: number;
  /** Bytes to which direct I/O must be aligned; 1 when it is off. */
  readonly alignment: number;
  /** What its file system calls a hole is one; else all of it is data. */
  readonly tellsHoles: boolean;
}

/** The innermost store: where the bytes are in the end. */
export type InnerDescription = FileDescription;

/**
 * Wrappers by kind: what stands between the gate and the innermost store. A kind is one entry here, and one in
 * `WRAPPERS` (open-store.ts). What its threads must know of each other lies in shared memory that the description holds: a
 * thread opens its store anew at every publication.
 */
// biome-ignore lint/suspicious/noEmptyInterface: each wrapper adds its entry.
export interface WrapperDescriptions {}

export type WrapperKind = keyof WrapperDescriptions;

export type WrapperDescription = {
  [K in WrapperKind]: { readonly kind: K } & WrapperDescriptions[K];
}[WrapperKind];

/** A device's stores. */
export interface StoreDescription {
  readonly inner: InnerDescription;
  /** Each asks the one before it; the first asks the innermost store, and the last is asked by the gate. */
  readonly wrappers: readonly WrapperDescription[];
}
