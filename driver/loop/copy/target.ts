import type { BackingFile } from '../../io/backing-file.js';
import type { Backing } from '../backing.js';
import type { Superseded } from '../binding.js';
import type { OverlayFile } from '../overlay/overlay-file.js';

/** What a copy goes to, and what becomes of things when it has, or has not. */
export interface Target {
  readonly to: BackingFile | OverlayFile;
  /** The name that the file has in the end, where it has another one meanwhile; absent where it could not get it. */
  finalPath?: string;
  /** A delta that is to be found by its name no more, once the device has the copy. */
  readonly superseded?: Superseded;
  /** All is copied, and no request is in flight: it becomes what the device is to have. */
  ready?(): Promise<void>;
  /** It is written down that the device has it, and no request is in flight yet: what would hide it goes. */
  gone?(): Promise<void>;
  /** The device has it: the old files are let go of. */
  done(old: Backing): Promise<void>;
  /** It does not come to be. */
  undo(): Promise<void>;
}
