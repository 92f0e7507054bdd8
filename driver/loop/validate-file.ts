import { LoopError } from '../errno.js';
import { BackingFile } from '../io/backing-file.js';
import { type FileIdentity, sameFile } from '../io/file-identity.js';
import type { Backing } from './backing.js';
import type { LoopCore, LoopHost } from './loop-core.js';
import { type HandedOverlay, openOverlay } from './overlay/open-overlay.js';
import type { WantedOverlay } from './overlay/wanted.js';
import type { WantedFile } from './types.js';

/**
 * The device of ours that a file is (by whatever name: only the device number counts), or that the file lies on.
 * Either way its I/O would end in a thread of ours that waits for itself.
 */
export const ownDeviceBehind = (host: LoopHost, file: FileIdentity): LoopCore | undefined =>
  (file.blockDevice === null ? undefined : host.ownDevice(file.blockDevice)) ?? host.ownDevice(file.device);

/** True when a file needs validateMutex to be validated: its validity depends on another device's state. */
export const needsValidateMutex = (core: LoopCore, file: Backing): boolean =>
  ownDeviceBehind(core.host, file.identity) !== undefined;

/**
 * Throws EBADF when the file is served by ourselves, EINVAL when it is a device of ours that is not bound, and EINVAL
 * when it is neither a regular file nor a block device. loop.c: `loop_validate_file`.
 *
 * Caller holds loMutex, and validateMutex when `needsValidateMutex`.
 */
export function validateFile(core: LoopCore, file: Backing): void {
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

/** What a device is bound to. */
export interface WantedBacking extends WantedFile {
  readonly readOnly?: boolean;
  /** Absent: the file itself is served. */
  readonly overlay?: WantedOverlay;
  readonly deltaIdentity?: FileIdentity;
  readonly handed?: HandedOverlay;
}

/**
 * Opens a file for a device, if it is known which, or an overlay over it; one that we serve ourselves is only named. Throws
 * EBADF, ESTALE, EBUSY, and what `openOverlay` throws.
 */
export async function openBacking(host: LoopHost, wanted: WantedBacking, core?: LoopCore): Promise<Backing> {
  const mayOpen = (identity: FileIdentity): boolean => ownDeviceBehind(host, identity) === undefined;
  const { overlay, deltaIdentity, handed, file, readOnly = false, identity, through } = wanted;
  const named = { ...(identity && { identity }), ...(through !== undefined && { through }) };
  const exclusive = wanted.exclusive === true;
  try {
    if (overlay !== undefined) {
      const rest = { ...(deltaIdentity && { deltaIdentity }), ...(handed && { handed }) };
      const options = { mayOpen, mapDirectory: host.mapDirectory() };
      const opened = await openOverlay({ file, readOnly, exclusive, overlay, ...named, ...rest }, options);
      return await alone(host, opened, opened.deltaIdentity, opened.delta, core);
    }
    const opened = await BackingFile.open(file, { readOnly, exclusive, mayOpen, ...named });
    return await alone(host, opened, opened.identity, opened.path, core);
  } catch (error) {
    if (!(error instanceof LoopError)) throw error;
    const message = namingDevice(host, error);
    throw new LoopError(error.errno, core === undefined ? message : `${core.name}: ${message}`);
  }
}

/** Locks keep other processes out; devices of ours share a file that they write, but never a delta. */
async function alone<T extends Backing>(
  host: LoopHost,
  opened: T,
  identity: FileIdentity,
  path: string,
  core: LoopCore | undefined,
): Promise<T> {
  const other = host.devices().find((device) => {
    const { binding } = device;
    // What it has lost it does not have.
    if (device === core && device.lost !== undefined) return false;
    if (binding === undefined || !opened.writable) return false;
    const { overlay } = binding.file;
    if (overlay !== undefined) return sameFile(overlay.deltaIdentity, identity);
    return opened.overlay !== undefined && binding.file.writable && sameFile(binding.file.identity, identity);
  });
  if (other === undefined) return opened;
  await opened.close();
  const what = other.binding?.file.overlay === undefined ? 'file' : 'delta';
  throw new LoopError('EBUSY', `${path} is the ${what} of ${other.name}.`);
}

/** A lock only tells which process has a file: of our own devices we know which, and what for. */
function namingDevice(host: LoopHost, { errno, message }: LoopError): string {
  if (errno !== 'EBUSY') return message;
  for (const what of ['file', 'base', 'delta'] as const) {
    const users = new Map<string, string[]>();
    for (const { name, binding, lost } of host.devices()) {
      // What it has lost it does not have: the holder is another process.
      const isHolder = binding !== undefined && lost === undefined;
      for (const path of isHolder ? pathsOf(binding.file, what) : []) {
        if (message.includes(` ${path} is served `)) users.set(path, [...(users.get(path) ?? []), name]);
      }
    }
    for (const [path, names] of users) return `The file ${path} is the ${what} of ${someOf(names)}.`;
  }
  return message;
}

function pathsOf(file: Backing, what: 'file' | 'base' | 'delta'): readonly string[] {
  const { overlay } = file;
  if (overlay === undefined) return what === 'file' && file.writable ? [file.path] : [];
  if (what === 'delta') return [overlay.delta];
  return what === 'base' ? overlay.pathsBelow : [];
}

const MOST_NAMES = 5;
const someOf = (names: readonly string[]): string =>
  names.length <= MOST_NAMES
    ? names.join(', ')
    : `${names.slice(0, MOST_NAMES).join(', ')} and ${names.length - MOST_NAMES} others`;
