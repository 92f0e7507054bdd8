import fs, { type BigIntStats } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { errnoName, LoopError } from '../errno.js';
import { seeDoctorOfFile } from '../see-doctor.js';
import { dioAlignmentOf } from './dio-alignment.js';
import { tellsHoles } from './exact-holes.js';
import { type ExaminedFile, examineFile, type FileIdentity, sameFile } from './file-identity.js';
import { FileLane } from './file-lanes.js';
import { isReadLocked, lockForReading, lockForWriting, unlockReading, type WriteLock } from './file-lock.js';
import { type FileRenewal, openRenewal } from './file-renewal.js';
import { noteHolder } from './holder-note.js';
import { codeOf, guarded, nameMeant, nameOf, openNamed } from './named-file.js';
import { anotherFile, domainOf, foreignLocks, proveGeneration } from './opened-file.js';
import { blockDeviceSize, isWritable, setDirect } from './syscalls.js';

const closeFile = promisify(fs.close);
const syncFile = promisify(fs.fsync);
const statFile = promisify<number, { bigint: true }, BigIntStats>(fs.fstat);

export interface OpenOptions {
  /** Do not even try to open for writing. */
  readonly readOnly: boolean;
  /** False for a file that must not be opened, e.g. one of our own devices: then it is only named. */
  readonly mayOpen?: (identity: ExaminedFile) => boolean;
  /** What the caller means. ESTALE where another file is there. */
  readonly identity?: FileIdentity;
  /** Another way to the same file, taken where it leads to it; counts with `identity` only. */
  readonly through?: string;
  /** EBUSY where another program holds an image lock against us. */
  readonly exclusive?: boolean;
  /** Nobody may write it meanwhile: EBUSY where somebody does. Of what is opened for reading. */
  readonly keptFromWriters?: boolean;
}

/** Descriptors of an open file on their way to another process. */
export interface HandedFile {
  readonly file: number;
  /** The description that keeps other daemons from the file, often the same; undefined where it is not written. */
  readonly lock: number | undefined;
}

/** What is found out at the open, and stays. */
type Facts = Pick<
  BackingFile,
  'identity' | 'fd' | 'usable' | 'writable' | 'dioAlignment' | 'tellsHoles' | 'warnings'
> & { readonly name: string };

const NAMED_ONLY = {
  usable: false,
  writable: false,
  dioAlignment: 512,
  tellsHoles: false,
  warnings: [],
} as const;

/**
 * A file that stands behind a device, held by one descriptor.
 *
 * A file that can't be a backing file (a directory, a FIFO, one of our own devices) is named but never opened:
 * `usable` is false, and the caller says why. So a FIFO can't hang us and a tape is not rewound.
 */
export class BackingFile {
  readonly identity: ExaminedFile;
  /** What I/O on it may wait for: its file system, or the disk that it is. */
  readonly domain: string;
  readonly fd: number;
  readonly usable: boolean;
  readonly writable: boolean;
  /** Alignment in bytes that direct I/O needs of memory, position and length: a power of two, at least 512. */
  readonly dioAlignment: number;
  /** Its holes are what its file system says they are. */
  readonly tellsHoles: boolean;
  /** What is odd about it: sentences for the user. */
  readonly warnings: readonly string[];
  /** Keeps other daemons from writing it. */
  #lock: WriteLock | undefined;
  #openedAs: string;
  /** Locked for reading: nobody writes it. */
  #isKeptFromWriters = false;
  #closed = false;
  /** Where it takes its turn with whatever may wait for its file system. */
  #lane = FileLane.of('/');

  private constructor(facts: Facts, lock?: WriteLock) {
    this.#openedAs = facts.name;
    this.#lock = lock;
    this.identity = facts.identity;
    this.domain = domainOf(facts.identity);
    this.fd = facts.fd;
    this.usable = facts.usable;
    this.writable = facts.writable;
    this.dioAlignment = facts.dioAlignment;
    this.tellsHoles = facts.tellsHoles;
    this.warnings = facts.warnings;
  }

  /**
   * Opens a file for reading, and for writing where that is possible and wanted.
   *
   * Throws EBADF when there is no such file or it can't be read, EBUSY when another daemon has it for writing, EAGAIN
   * when too much hangs on its file system already.
   */
  static async open(path: string, options: OpenOptions): Promise<BackingFile> {
    const file = await FileLane.of(resolve(path)).run(() => BackingFile.#openInTurn(path, options));
    // Where it really is: a symbolic link may have led elsewhere.
    file.#lane = FileLane.of(file.path);
    return file;
  }

  static async #openInTurn(path: string, options: OpenOptions): Promise<BackingFile> {
    const { named, examined } = await nameMeant(path, options);
    let handedOver = false;
    try {
      const name = nameOf(named) ?? path;
      if (examined.kind === 'other' || options.mayOpen?.(examined) === false) {
        handedOver = true;
        return new BackingFile({ ...NAMED_ONLY, name, identity: examined, fd: named });
      }
      const { fd, writable } = await guarded(name, () => openNamed(named, options.readOnly));
      try {
        // Anew: an open descriptor tells more, and overlayfs may just have made a copy that is written.
        const identity = await guarded(name, () => examineFile(fd));
        proveGeneration(name, identity, options.identity);
        const facts = {
          ...{ name, identity, fd, writable, usable: true },
          dioAlignment: await dioAlignmentOf(fd, identity.device),
          // A block device's node lies on tmpfs, which says nothing of the disk.
          tellsHoles: identity.kind === 'regular' && (await tellsHoles(fd)),
          warnings: await foreignLocks(name, fd, { writable, exclusive: options.exclusive === true }),
        };
        const lock = writable
          ? await lockForWriting(fd, { path: name, ...identity, domain: domainOf(identity) })
          : undefined;
        if (options.keptFromWriters === true) await lockForReading(fd, { path: name, ...identity });
        if (lock !== undefined && options.exclusive === true) await noteHolder(fd);
        const file = new BackingFile(facts, lock);
        file.#isKeptFromWriters = options.keptFromWriters === true;
        return file;
      } catch (error) {
        await closeFile(fd);
        throw error;
      }
    } finally {
      if (!handedOver) await closeFile(named);
    }
  }

  /**
   * Takes up a file that another process had open, under whatever name it has now, without a gap in its lock. The
   * descriptors are the file's from here on, or closed. Throws ESTALE when it is not the file that is meant.
   */
  static async adopt(handed: HandedFile, meant: FileIdentity): Promise<BackingFile> {
    const lane = FileLane.of(nameOf(handed.file) ?? '/');
    const file = await lane.run(() => BackingFile.#adoptInTurn(handed, meant));
    file.#lane = lane;
    return file;
  }

  static async #adoptInTurn(
    { file: fd, lock: handedLock }: HandedFile,
    meant: FileIdentity,
  ): Promise<BackingFile> {
    let lockFd = handedLock;
    try {
      const name = nameOf(fd) ?? 'a file that was handed over';
      const identity = await guarded(name, () => examineFile(fd));
      if (!sameFile(identity, meant)) throw anotherFile(name, identity, meant);
      const writable = isWritable(fd);
      const facts = {
        ...{ name, identity, fd, writable, usable: true, warnings: [] },
        dioAlignment: await dioAlignmentOf(fd, identity.device),
        tellsHoles: identity.kind === 'regular' && (await tellsHoles(fd)),
      };
      if (!writable) return new BackingFile(facts);
      const taken = lockForWriting(fd, { path: name, ...identity }, lockFd);
      lockFd = undefined; // it is the lock's
      return new BackingFile(facts, await taken);
    } catch (error) {
      await closeFile(fd);
      throw error;
    } finally {
      if (lockFd !== undefined) await closeFile(lockFd);
    }
  }

  /** What another process needs to go on with the very same open file. They stay ours. */
  get handed(): HandedFile {
    return { file: this.fd, lock: this.#lock?.fd };
  }

  /**
   * Its path as it is now: it follows a rename, and ends in ` (deleted)` when the name that was opened is gone. The kernel
   * tells it without asking the file system.
   */
  get path(): string {
    return (this.#closed ? undefined : nameOf(this.fd)) ?? this.#openedAs;
  }

  /** Present size in bytes. Throws the errno of fstat or ioctl. */
  size(): Promise<bigint> {
    return this.#lane.run(() => this.#sizeInTurn());
  }

  /** The same of a regular file, and when its content was changed last, nanoseconds since 1970. */
  sizeAndTime(): Promise<{ readonly size: bigint; readonly mtimeNs: bigint }> {
    return this.#lane.run(() => statFile(this.fd, { bigint: true }));
  }

  async #sizeInTurn(): Promise<bigint> {
    if (this.identity.kind !== 'block') return (await statFile(this.fd, { bigint: true })).size;
    const size = await blockDeviceSize(this.fd);
    if (size >= 0n) return size;
    const errno = errnoName(-Number(size));
    throw new LoopError(errno, `The size of ${this.path} can't be read (${errno}).`);
  }

  /** Work on the file that may wait for its file system, in its turn. */
  inTurn<T>(work: (fd: number) => Promise<T>): Promise<T> {
    return this.#lane.run(() => work(this.fd));
  }

  /** Others may write what `keptFromWriters` kept from them; and may not again. EBUSY where somebody does. */
  async letWriters(isAllowed: boolean): Promise<void> {
    await this.#lane.run(() =>
      isAllowed ? unlockReading(this.fd) : lockForReading(this.fd, { path: this.path, ...this.identity }),
    );
    this.#isKeptFromWriters = !isAllowed;
  }

  /** What was written by us alone is written no more: others may read it, too, and keep writers away. */
  async becomeShared(): Promise<void> {
    await this.#lane.run(() => lockForReading(this.fd, { path: this.path, ...this.identity }));
    await this.#lock?.release();
    this.#lock = undefined;
    this.#isKeptFromWriters = true;
  }

  /** The same file, opened once more: to take the place of what is open. EBADF, EROFS. */
  renewal(): Promise<FileRenewal> {
    const [lock, isKeptFromWriters] = [this.#lock, this.#isKeptFromWriters];
    const { fd, writable } = this;
    const file = { path: this.path, ...this.identity };
    return this.#lane.run(() => openRenewal({ fd, file, writable, lock, isKeptFromWriters }));
  }

  /** fsync. Throws its errno: data that was written may be lost. */
  async sync(): Promise<void> {
    try {
      await this.#lane.run(() => syncFile(this.fd));
    } catch (error) {
      if (error instanceof LoopError) throw error;
      const errno = codeOf(error);
      throw new LoopError(errno, `${this.path} can't be synchronised (${errno}).`);
    }
  }

  /** Turns direct I/O on or off. No request may be in flight. Throws EINVAL where the file system refuses. */
  async setDirect(on: boolean): Promise<void> {
    const result = await this.#lane.run(() => setDirect(this.fd, on));
    if (result >= 0) return;
    const errno = errnoName(-result);
    throw new LoopError(
      'EINVAL',
      `${this.path} does not take direct I/O (${errno}) ${seeDoctorOfFile('direct I/O', this.path)}.`,
    );
  }

  /** What keeps others from writing it still holds; true where nothing does. */
  async hasLock(): Promise<boolean> {
    const [lock, isKept] = [this.#lock, this.#isKeptFromWriters];
    if (this.#closed || (lock === undefined && !isKept)) return true;
    return await this.#lane.run(async () => {
      if (lock !== undefined) return await lock.isHeld();
      return await isReadLocked(this.fd);
    });
  }

  /** Closes the descriptor, which may write back data and take long: call it with no lock held. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#openedAs = this.path;
    this.#closed = true;
    await this.#lane.runLater(async () => {
      try {
        await closeFile(this.fd);
      } finally {
        await this.#lock?.release();
      }
    });
  }
}
