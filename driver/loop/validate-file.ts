import { LoopError } from '../errno.js';
import { BackingFile } from '../io/backing-file.js';
import type { FileIdentity } from '../io/file-identity.js';
import type { LoopCore, LoopHost } from './loop-core.js';
import type { WantedFile } from './types.js';

/**
 * The device of ours that a file is (by whatever name: only the device number counts), or that the file lies on.
 * Either way its I/O would end in a thread of ours that waits for itself.
 */
export const ownDeviceBehind = (host: LoopHost, file: FileIdentity): LoopCore | undefined =>
  (file.blockDevice === null ? undefined : host.ownDevice(file.blockDevice)) ?? host.ownDevice(file.device);

/** True when a file needs validateMutex to be validated: its validity depends on another device's state. */
export const needsValidateMutex = (core: LoopCore, file: BackingFile): boolean =>
  ownDeviceBehind(core.host, file.identity) !== undefined;

/**
 * Throws EBADF when the file is served by ourselves, EINVAL when it is a device of ours that is not bound, and EINVAL
 * when it is neither a regular file nor a block device. loop.c: `loop_validate_file`.
 *
 * Caller holds loMutex, and validateMutex when `needsValidateMutex`.
 */
export function validateFile(core: LoopCore, file: BackingFile): void {
  const own = ownDeviceBehind(core.host, file.identity);
  if (own === core) {
    throw new LoopError('EBADF', `${core.name} can't have itself as its backing file (${file.path}).`);
  }
  if (own !== undefined && own.state !== 'bound') {
    throw new LoopError('EINVAL', `${core.name} can't use ${file.path}: ${own.name} has no backing file.`);
  }
  if (own !== undefined) {
    throw new LoopError(
      'EBADF',
      `${core.name} can't use ${file.path}: ${own.name} is served by this daemon, which would wait for itself.`,
    );
  }
  if (!file.usable) {
    throw new LoopError(
      'EINVAL',
      `${core.name} can't use ${file.path}: it is neither a regular file nor a block device.`,
    );
  }
}

/** Opens a file for a device, if it is known which; one that we serve ourselves is only named. Throws EBADF, ESTALE. */
export async function openBacking(
  host: LoopHost,
  {
    file,
    readOnly = false,
    identity,
    through,
    exclusive = false,
  }: WantedFile & { readonly readOnly?: boolean },
  core?: LoopCore,
): Promise<BackingFile> {
  try {
    return await BackingFile.open(file, {
      readOnly,
      exclusive,
      ...(identity === undefined ? {} : { identity }),
      ...(through === undefined ? {} : { through }),
      mayOpen: (identity) => ownDeviceBehind(host, identity) === undefined,
    });
  } catch (error) {
    if (core === undefined || !(error instanceof LoopError)) throw error;
    throw new LoopError(error.errno, `${core.name}: ${error.message}`);
  }
}
