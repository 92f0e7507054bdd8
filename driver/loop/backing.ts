import type { HandedFile } from '../io/backing-file.js';
import type { ExaminedFile } from '../io/file-identity.js';
import type { FileRenewal } from '../io/file-renewal.js';
import type { InnerDescription } from '../store/description.js';

/** One of what an overlay is made of. */
export interface Layer {
  readonly kind: 'delta' | 'base';
  /** As it is now; ` (deleted)` behind a name that is gone. */
  readonly path: string;
  /** Of a delta. */
  readonly uuid: string | null;
  readonly identity: ExaminedFile;
  /** Of a delta: bytes a block, and how many blocks it holds. */
  readonly blockSize: number | null;
  readonly heldBlocks: number | null;
  /** Bytes that it shows. */
  readonly size: number;
}

/** What a device has that is more than one file. */
export interface OverlayParts {
  /** The delta that is written, as it is now; ` (deleted)` where it has no name. */
  readonly delta: string;
  readonly isTemporary: boolean;
  /** From the delta that is written down to the base. */
  layers(): readonly Layer[];
  /** How many there are. */
  readonly depth: number;
  /** Descriptors of the layers that are only read, from above. */
  readonly handedLayers: readonly number[];
  /** Their names. */
  readonly pathsBelow: readonly string[];
  /** What the record of the device needs to find it again. */
  readonly deltaIdentity: ExaminedFile;
  /** Makes everything durable that was written, and notes that the delta is whole. No request is in flight. */
  settle(): Promise<void>;
  /**
   * Takes up that its base, or its own file, has grown. Undefined where nothing has; else `apply` is called while the queue is
   * frozen, before it is published. EFBIG where the delta's bitmap can't grow that far.
   */
  growth(): Promise<{ readonly size: number; readonly apply: () => Promise<void> } | undefined>;
}

/** What stands behind a bound device: a plain file (`BackingFile`), or an overlay. */
export interface Backing {
  /** Of the file that the user named. */
  readonly identity: ExaminedFile;
  readonly path: string;
  /** What I/O on it may wait for. */
  readonly domain: string;
  readonly fd: number;
  readonly usable: boolean;
  readonly writable: boolean;
  readonly dioAlignment: number;
  readonly tellsHoles: boolean;
  readonly warnings: readonly string[];
  /** Absent: a plain file. */
  readonly overlay?: OverlayParts | undefined;
  /** What threads open; absent: the file itself. */
  describe?(directIo: boolean): InnerDescription;
  /** It is being copied: what can't be done meanwhile. */
  readonly isCopied?: boolean;
  readonly handed: HandedFile;
  /** What keeps others from writing it still holds; absent: it is not known. */
  hasLock?(): Promise<boolean>;
  /** Present size in bytes. */
  size(): Promise<bigint>;
  sync(): Promise<void>;
  setDirect(on: boolean): Promise<void>;
  close(): Promise<void>;
  /** As `close`, of what is lost: nothing is written any more. Absent: `close` writes nothing. */
  lose?(): Promise<void>;
  /** Its files, opened once more: to take the place of what is open. Absent: it can't be. */
  renewal?(): Promise<FileRenewal>;
}
