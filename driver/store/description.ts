/**
 * What a device publishes of its stores: plain data (what `structuredClone` takes, shared memory included), from which
 * each thread opens its own. Descriptors are the control side's, and stay open while anything that names them is published.
 */

import type { Mapped } from '../io/mapped.js';
import type { FaultsDescription } from './faults/rule.js';
import type { LimitsDescription } from './limits/limits.js';
import type { LoggedDescription } from './log/log-writer.js';
import type { VolatileDescription } from './volatile/description.js';

/** The plain case: a file, or a block device, is the disk. */
export interface FileDescription {
  readonly kind: 'file';
  readonly fd: number;
  /** Bytes to which direct I/O must be aligned; 1 when it is off. */
  readonly alignment: number;
  /** What its file system calls a hole is one; else all of it is data. */
  readonly tellsHoles: boolean;
}

/** A layer of an overlay that is only read: a delta that is the base of another. */
export interface LowerLayer {
  readonly fd: number;
  readonly tellsHoles: boolean;
  readonly blockSize: number;
  /** Bytes that it shows. */
  readonly size: number;
  readonly dataOffset: number;
  /** A bit a block. */
  readonly bits: SharedArrayBuffer;
}

/** The delta that is written. */
export interface TopLayer {
  readonly fd: number;
  readonly tellsHoles: boolean;
  readonly blockSize: number;
  readonly size: number;
  readonly dataOffset: number;
  /** Which blocks it holds, a bit a block: set when their data is written. */
  readonly present: Mapped;
  /** What of it the bitmap on disk may tell: their data is durable. */
  readonly durable: Mapped;
  /** Blocks that a thread brings in at this moment, a bit a block. */
  readonly claims: SharedArrayBuffer;
  /** What of the bitmap is not on disk yet (`FlushState`). */
  readonly flushState: SharedArrayBuffer;
}

/** A base that is not written, and deltas over it. */
export interface OverlayDescription {
  readonly kind: 'overlay';
  readonly top: TopLayer;
  /** Between the top and the base, from above. */
  readonly lowers: readonly LowerLayer[];
  readonly base: { readonly fd: number; readonly tellsHoles: boolean };
}

/** A store whose bytes are being copied to a file, or into the delta below it. */
export interface MirrorDescription {
  readonly kind: 'mirror';
  readonly from: FileDescription | OverlayDescription;
  readonly to: FileDescription | OverlayDescription;
  /** `MirrorShared`. */
  readonly shared: SharedArrayBuffer;
}

/** The innermost store: where the bytes are in the end. */
export type InnerDescription = FileDescription | OverlayDescription | MirrorDescription;

/**
 * Wrappers by kind: what stands between the gate and the innermost store. A kind is one entry here, and one in
 * `WRAPPERS` (open-store.ts). What its threads must know of each other lies in shared memory that the description holds: a
 * thread opens its store anew at every publication.
 */
export interface WrapperDescriptions {
  /** Judged at the gate, a whole request at a time: no store. */
  readonly faults: FaultsDescription;
  readonly limits: LimitsDescription;
  readonly volatile: VolatileDescription;
  readonly log: LoggedDescription;
}

/** What stands between the gate and the file makes that requests are handed over whole. */
export const isWatched = (wrappers: readonly WrapperDescription[]): boolean => wrappers.length > 0;

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
