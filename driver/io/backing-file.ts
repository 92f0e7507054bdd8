import fs, { type BigIntStats, constants } from 'node:fs';
import { promisify } from 'node:util';
import { errnoName, LoopError } from '../errno.js';
import { dioAlignmentOf } from './dio-alignment.js';
import { tellsHoles } from './exact-holes.js';
import { lockForWriting, type WriteLock } from './file-lock.js';
import { blockDeviceSize, setDirect } from './syscalls.js';

const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);
const syncFile = promisify(fs.fsync);
const statFile = promisify<number, { bigint: true }, BigIntStats>(fs.fstat);
const readLink = promisify(fs.readlink);

/** O_PATH of asm-generic/fcntl.h: a descriptor that names a file without opening it. Node has no constant. */
const O_PATH = 0o10000000;
/** libuv adds O_CLOEXEC to every open; O_NONBLOCK: no open waits for another process. */
const OPEN_FLAGS = constants.O_NONBLOCK | constants.O_NOCTTY;

/** What a file is, before anything was opened. */
export interface FileIdentity {
  /** Absolute, symbolic links resolved. */
  readonly path: string;
  readonly kind: 'regular' | 'block' | 'other';
  /** st_dev: the file system that holds it. */
  readonly device: bigint;
  readonly inode: bigint;
  /** st_rdev: for a block device, which. */
  readonly rdev: bigint;
}

export interface OpenOptions {
  /** Do not even try to open for writing. */
  readonly readOnly: boolean;
  /** False for a file that must not be opened, e.g. one of our own devices: then it is only named. */
  readonly mayOpen?: (identity: FileIdentity) => boolean;
}

/**
 * A file that stands behind a device, held by one descriptor.
 *
 * A file that can't be a backing file (a directory, a FIFO, one of our own devices) is named but never opened:
 * `usable` is false, and the caller says why. So a FIFO can't hang us and a tape is not rewound.
 */
export class BackingFile {
  #closed = false;

  private constructor(
    readonly identity: FileIdentity,
    readonly fd: number,
    readonly usable: boolean,
    readonly writable: boolean,
    /** Alignment in bytes that direct I/O needs of memory, position and length: a power of two, at least 512. */
    readonly dioAlignment: number,
    /** Its holes are what its file system says they are. */
    readonly tellsHoles: boolean,
    /** Keeps other daemons from writing it. */
    private readonly lock?: WriteLock,
  ) {}

  /**
   * Opens a file for reading, and for writing where that is possible and wanted.
   *
   * Throws EBADF when there is no such file or it can't be read, EBUSY when another daemon has it for writing.
   */
  static async open(path: string, options: OpenOptions): Promise<BackingFile> {
    const named = await guarded(path, () => openFile(path, O_PATH));
    let handedOver = false;
    try {
      const identity = await guarded(path, () => identify(named));
      if (identity.kind === 'other' || options.mayOpen?.(identity) === false) {
        handedOver = true;
        return new BackingFile(identity, named, false, false, 512, false);
      }
      const { fd, writable } = await guarded(identity.path, () => openNamed(named, options.readOnly));
      const alignment = dioAlignmentOf(fd, identity.device);
      // A block device's node lies on tmpfs, which says nothing of the disk.
      const holes = identity.kind === 'regular' && (await tellsHoles(fd));
      if (!writable) return new BackingFile(identity, fd, true, writable, alignment, holes);
      try {
        const lock = await lockForWriting(fd, identity);
        return new BackingFile(identity, fd, true, writable, alignment, holes, lock);
      } catch (error) {
        await closeFile(fd);
        throw error;
      }
    } finally {
      if (!handedOver) await closeFile(named);
    }
  }

  get path(): string {
    return this.identity.path;
  }

  /** Present size in bytes. Throws the errno of fstat or ioctl. */
  async size(): Promise<bigint> {
    if (this.identity.kind !== 'block') return (await statFile(this.fd, { bigint: true })).size;
    const size = blockDeviceSize(this.fd);
    if (size >= 0n) return size;
    const errno = errnoName(-Number(size));
    throw new LoopError(errno, `The size of ${this.path} can't be read (${errno}).`);
  }

  /** fsync. Throws its errno: data that was written may be lost. */
  async sync(): Promise<void> {
    try {
      await syncFile(this.fd);
    } catch (error) {
      const errno = codeOf(error);
      throw new LoopError(errno, `${this.path} can't be synchronised (${errno}).`);
    }
  }

  /** Turns direct I/O on or off. No request may be in flight. Throws EINVAL where the file system refuses. */
  setDirect(on: boolean): void {
    const result = setDirect(this.fd, on);
    if (result >= 0) return;
    const errno = errnoName(-result);
    throw new LoopError('EINVAL', `${this.path} does not take direct I/O (${errno}).`);
  }

  /** Closes the descriptor, which may write back data and take long: call it with no lock held. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await closeFile(this.fd);
    } finally {
      await this.lock?.release();
    }
  }
}

async function identify(fd: number): Promise<FileIdentity> {
  const stat = await statFile(fd, { bigint: true });
  return {
    path: await readLink(`/proc/self/fd/${fd}`),
    kind: stat.isFile() ? 'regular' : stat.isBlockDevice() ? 'block' : 'other',
    device: stat.dev,
    inode: stat.ino,
    rdev: stat.rdev,
  };
}

/** Errors of an open for writing after which reading may still be possible. */
const READ_ONLY_REASONS = new Set(['EACCES', 'EPERM', 'EROFS', 'ETXTBSY']);

/** Opens the very file that an O_PATH descriptor names, whatever its name means by now. */
async function openNamed(named: number, readOnly: boolean): Promise<{ fd: number; writable: boolean }> {
  const path = `/proc/self/fd/${named}`;
  if (!readOnly) {
    try {
      return { fd: await openFile(path, constants.O_RDWR | OPEN_FLAGS), writable: true };
    } catch (error) {
      if (!READ_ONLY_REASONS.has(codeOf(error))) throw error;
    }
  }
  return { fd: await openFile(path, constants.O_RDONLY | OPEN_FLAGS), writable: false };
}

type ErrnoName = LoopError['errno'];

/** The error is EBADF, as the kernel's; the sentence says what is behind it. */
const WHY_NOT_OPEN: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: "can't be opened: permission denied",
  EPERM: "can't be opened: permission denied",
};

const codeOf = (error: unknown): ErrnoName =>
  ((error as NodeJS.ErrnoException).code as ErrnoName | undefined) ?? 'EIO';

/** Whatever keeps a file from being opened is EBADF: for the kernel there is no such descriptor. */
async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    const reason = WHY_NOT_OPEN[code] ?? `can't be opened (${code})`;
    throw new LoopError('EBADF', `The file ${path} ${reason}.`);
  }
}
