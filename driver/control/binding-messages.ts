/** JSON types of binding a file to a device. Types only, as `messages.ts`, which has them, too. */
import type { ExactNumber } from '../exact-number.js';
import type { FaultRule, LimitsChange } from './bench-messages.js';
import type { Bytes } from './device-messages.js';
import type { OverlayRequest } from './overlay-messages.js';

/** What a caller sees of a file: numbers of stat(2), exact. */
export interface MeantIdentity {
  readonly device: ExactNumber;
  readonly inode: ExactNumber;
  /** Nanoseconds since 1970. */
  readonly birthTime?: ExactNumber;
  /** st_rdev of a block device: then that counts, not the node. */
  readonly blockDevice?: ExactNumber;
}

/** Which file. */
export interface MeantFile {
  /** Absolute path; bytes that are no UTF-8 are `\udc80` to `\udcff`. */
  readonly file: string;
  /** What the caller sees under that name. ESTALE where the daemon sees another file there. */
  readonly identity?: MeantIdentity;
  /**
   * A descriptor of the calling process that has this file open, O_PATH or better, until the answer comes: so a file that
   * the daemon can't find by name can be had, too. Counts with `identity` only, and where the daemon may look into
   * /proc/PID/fd of the caller.
   */
  readonly descriptor?: number;
  /** EBUSY where another program holds an image lock (qemu's) against it; else that is a warning. */
  readonly exclusive?: boolean;
}

/** What an export is called, and what is said of it; an empty text takes away what there was. */
export interface ExportWords {
  /**
   * A name beside `loopN`: at most 4096 bytes of UTF-8 on one line, unlike any other export's (EEXIST), and not `loop` and a
   * number, `*`, or ending in `:ro` (EINVAL).
   */
  readonly exportName?: string;
  /** At most 4053 bytes of UTF-8 on one line. Default: `loopN` and the file. */
  readonly description?: string;
}

/** Body of PUT /devices/N/backing. */
export interface ConfigureRequest extends MeantFile, ExportWords {
  readonly offset?: Bytes;
  /** 0: no limit. */
  readonly sizeLimit?: Bytes;
  /** A power of two, 512 to 4096. */
  readonly blockSize?: number;
  readonly readOnly?: boolean;
  readonly autoclear?: boolean;
  readonly partscan?: boolean;
  readonly directIo?: boolean;
  /** A name of the user's own, at most 63 bytes, for links in /dev/disk/by-loop-ref. Default: the file's. */
  readonly reference?: string;
  /** The file is the base of an overlay: it is not written, and what is written goes into a delta. */
  readonly overlay?: OverlayRequest;
  /**
   * Refuse (EEXIST) a file of whose range a device already serves a part. POST /devices/find returns a device that serves
   * exactly this range instead of a new one, unless it is read-only and writing is wanted.
   */
  readonly noOverlap?: boolean;
  /** Fault rules, of this binding and gone with it. */
  readonly faults?: readonly FaultRule[];
  readonly limits?: LimitsChange;
  /** Writes are durable only once a flush or FUA has asked for it: for a power cut. */
  readonly volatileCache?: boolean;
  /** Absolute path: every write is logged there, in the format of dm-log-writes. The file is made, or emptied. */
  readonly logWrites?: string;
}

/** Body of POST /devices/find. */
export type FindRequest = ConfigureRequest;

/** Body of PATCH /devices/N/backing. */
export type ChangeFileRequest = MeantFile;

/** Answer of DELETE /devices/N/backing. Deferred: sessions have the device open; the last close clears it. */
export interface ClearAnswer {
  /**
   * 'deferred': its last close clears it. 'hanging', of a clear by force: its file system does not answer, and it lets go
   * when that does.
   */
  readonly outcome: 'cleared' | 'deferred' | 'hanging';
}
