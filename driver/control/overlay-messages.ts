/** JSON types of overlays, snapshots and copies. Types only, as `messages.ts`, which has them, too. */
import type { ExactNumber } from '../exact-number.js';

/** Which delta; one of `delta` and `temporary`. */
export interface OverlayRequest {
  /** Absolute path; made where there is no file, or an empty one. */
  readonly delta?: string;
  /** An unnamed one, in TMPDIR or beside the state: it is gone with the binding. */
  readonly temporary?: true;
  /** Takes a base that has changed since the delta was made over it (else ESTALE): the caller vouches for it. */
  readonly force?: boolean;
  /** Of a delta that is made: bytes, a power of two, 4096 (default) to 65536. */
  readonly blockSize?: number;
}

/** One file of those that a device's bytes are in. Answer of GET /devices/N/layers: from the top to the base. */
export interface LayerAnswer {
  readonly kind: 'delta' | 'base';
  /** As it is now, ` (deleted)` behind a name that is gone. */
  readonly path: string;
  /** Of a delta; null for the base. */
  readonly uuid: string | null;
  readonly inode: ExactNumber;
  readonly device: ExactNumber;
  /** Of a delta: bytes of a block, how many it holds, and how many bytes that are. */
  readonly blockSize: number | null;
  readonly heldBlocks: number | null;
  readonly heldBytes: number | null;
  /** Bytes that it shows. */
  readonly size: number;
}

/** Body of POST /devices/N/move, flatten (where `file` may be absent: in place of the delta) and commit (without `file`). */
export interface CopyRequest {
  /** Absolute path, where no file is. */
  readonly file?: string;
  /** Bytes a second at most; 0: no limit (default). */
  readonly rate?: number;
}

/** The copy of a device that runs, or ran last. Answer of these, and of GET and DELETE /devices/N/copy. */
export interface CopyAnswer {
  readonly kind: 'move' | 'flatten' | 'commit';
  readonly file: string;
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  /** Of `totalBytes`, so many were looked at. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly rate: number;
  /** Of one that failed. */
  readonly errno: string | null;
  readonly message: string | null;
  /** How long requests waited when the device got the file, milliseconds. */
  readonly waitedMs: number | null;
}

/** Body of POST /snapshots: of one device or several, at one instant. */
export interface SnapshotRequest {
  readonly devices: readonly {
    readonly number: number;
    /** Absolute path, where no file is. */
    readonly file: string;
  }[];
  /** Freezes the file systems that are mounted here from the devices (FIFREEZE) around it. EINVAL where none is. */
  readonly fsfreeze?: boolean;
}

/** One snapshot. Answer of POST /snapshots: by number. */
export interface SnapshotAnswer {
  readonly number: number;
  readonly file: string;
  /**
   * `clone`: it shares its blocks with the device's file (of an overlay: with its delta, and is a delta itself). `sealed`: what
   * was the delta has this name now, and a new one over it has taken its own.
   */
  readonly kind: 'clone' | 'sealed';
  /** Of the overlay; null for a plain file. */
  readonly delta: string | null;
  /** How long a request waited at most, milliseconds; of that until those in flight had ended, and until what they had written was on disk. */
  readonly waitedMs: number;
  readonly drainedMs: number;
  readonly syncedMs: number;
}
