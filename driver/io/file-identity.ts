/**
 * What a file is, whatever its name: read from a descriptor, compared, and written down.
 *
 * It has to last while the kernel lives, no longer: state lies in /run and dies with the boot. So st_dev counts. A file
 * system that stays mounted keeps it; one that was unmounted in between may come back under another (those without a
 * disk of their own do: btrfs, overlay, tmpfs, NFS), and then its files are *not proven* to be the same. That is meant:
 * the uuid of a file system can't stand in for st_dev, since a snapshot (of LVM, of a btrfs subvolume) has the same uuid,
 * inode numbers, birth times and generations, and is another file. The rest guards numbers that are used again: an inode by
 * the file that comes after it (birth time, generation, handle), st_dev by another file system (uuid) or another subvolume of
 * the same one (handle), st_rdev by another disk (its sequence number).
 *
 * File systems that number their inodes anew (FAT, FUSE without inode numbers of its own) prove nothing once the
 * kernel has forgotten a file: then it is taken for another one.
 */

import { type ExactNumber, fromExactNumber, toExactNumber } from '../exact-number.js';
import { deviceText } from './device-number.js';
import {
  diskSequence,
  fileGeneration,
  fileHandle,
  fileSystemUuid,
  partitionStart,
  statxFile,
} from './identity-calls.js';

/** All numbers are unsigned; null: this file system (or this kernel, or this kind of descriptor) does not tell. */
export interface FileIdentity {
  /** st_dev: the file system that holds it. */
  readonly device: bigint;
  readonly inode: bigint;
  /** stx_btime, nanoseconds since 1970. */
  readonly birthTime: bigint | null;
  /**
   * How often the inode number (FS_IOC_GETVERSION), for a block device the disk (BLKGETDISKSEQ), was used. Not told by an
   * O_PATH descriptor.
   */
  readonly generation: bigint | null;
  /** Of the file system, 32 hexadecimal digits (FS_IOC_GETFSUUID, Linux 6.9). Not told by an O_PATH descriptor. */
  readonly fileSystem: string | null;
  /**
   * What the file system itself knows the file by, for a partition where it begins: a kind and hexadecimal digits. Told by an O_PATH
   * descriptor, too.
   */
  readonly handle: string | null;
  /** st_rdev of a block device: which, whatever node names it. */
  readonly blockDevice: bigint | null;
}

/** What can be seen of a file without opening it. */
export interface ExaminedFile extends FileIdentity {
  readonly kind: 'regular' | 'block' | 'other';
}

/** In JSON: numbers beyond 2^53 are digits. What is null may be absent. */
export interface FileIdentityJson {
  readonly device: ExactNumber;
  readonly inode: ExactNumber;
  readonly birthTime?: ExactNumber | null;
  readonly generation?: ExactNumber | null;
  readonly fileSystem?: string | null;
  readonly handle?: string | null;
  readonly blockDevice?: ExactNumber | null;
}

const NOTHING = { generation: null, fileSystem: null, handle: null, blockDevice: null } as const;

/** Reads it from a descriptor, in libuv's pool. Rejects with the errno of fstat. */
export async function examineFile(fd: number): Promise<ExaminedFile> {
  const file = { ...(await statxFile(fd)), ...NOTHING };
  if (file.kind === 'other') return file;
  if (file.kind === 'block') {
    const [generation, handle] = await Promise.all([diskSequence(fd), partitionStart(file.rdev)]);
    return { ...file, generation, handle, blockDevice: file.rdev };
  }
  const [generation, fileSystem, handle] = await Promise.all([
    fileGeneration(fd),
    fileSystemUuid(fd),
    fileHandle(fd),
  ]);
  return { ...file, generation, fileSystem, handle };
}

/**
 * True when two identities, taken while the same kernel lived, are of one file. What one of them does not tell is not
 * compared; for a block device only the disk counts, not the node.
 */
export function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  if (!agree(a.generation, b.generation) || !agree(a.handle, b.handle)) return false;
  if (a.blockDevice !== null && b.blockDevice !== null) return a.blockDevice === b.blockDevice;
  return (
    a.device === b.device &&
    a.inode === b.inode &&
    agree(a.birthTime, b.birthTime) &&
    agree(a.fileSystem, b.fileSystem)
  );
}

const agree = <T>(a: T | null, b: T | null): boolean => a === null || b === null || a === b;

export function identityToJson(identity: FileIdentity): Required<FileIdentityJson> {
  return {
    device: toExactNumber(identity.device),
    inode: toExactNumber(identity.inode),
    birthTime: orNull(identity.birthTime),
    generation: orNull(identity.generation),
    fileSystem: identity.fileSystem,
    handle: identity.handle,
    blockDevice: orNull(identity.blockDevice),
  };
}

const orNull = (value: bigint | null): ExactNumber | null => (value === null ? null : toExactNumber(value));

/** Undefined for what is none: a field that is missing, of another type, or was rounded. */
export function identityFromJson(json: unknown): FileIdentity | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const { device, inode, birthTime, generation, fileSystem, handle, blockDevice } = json as Record<
    string,
    unknown
  >;
  const numbers = [device, inode].map(fromExactNumber);
  const optional = [birthTime, generation, blockDevice].map((value) =>
    value === undefined || value === null ? null : fromExactNumber(value),
  );
  const uuid = fileSystem === undefined || fileSystem === null ? null : fileSystem;
  const [dev, ino] = numbers;
  const [birth, version, disk] = optional;
  if (dev === undefined || ino === undefined || birth === undefined) return undefined;
  if (version === undefined || disk === undefined) return undefined;
  if (uuid !== null && !(typeof uuid === 'string' && /^[0-9a-f]{2,32}$/.test(uuid))) return undefined;
  const known = handle === undefined || handle === null ? null : handle;
  if (known !== null && !(typeof known === 'string' && /^[0-9a-z]{1,8}:[0-9a-f]{0,256}$/.test(known))) {
    return undefined;
  }
  return {
    device: dev,
    inode: ino,
    birthTime: birth,
    generation: version,
    fileSystem: uuid,
    handle: known,
    blockDevice: disk,
  };
}

/** For a sentence: `inode 12 on 8:1, born 2026-11-29T17:53:00.123456789Z`, or `block device 8:16`. */
export function describeIdentity({ device, inode, birthTime, blockDevice }: FileIdentity): string {
  if (blockDevice !== null) return `block device ${deviceText(blockDevice)}`;
  const born = birthTime === null ? '' : `, born ${momentText(birthTime)}`;
  return `inode ${inode} on ${deviceText(device)}${born}`;
}

/** The same for two that are not one: where those words are alike, with what tells them apart. */
export function describeApart(found: FileIdentity, meant: FileIdentity): { found: string; meant: string } {
  const words = { found: describeIdentity(found), meant: describeIdentity(meant) };
  if (words.found !== words.meant) return words;
  const more = ({ generation, fileSystem, handle }: FileIdentity): string =>
    `, handle ${handle ?? 'unknown'}, generation ${generation ?? 'unknown'}, file system ${fileSystem ?? 'unknown'}`;
  return { found: words.found + more(found), meant: words.meant + more(meant) };
}

/** ISO 8601 with nanoseconds. */
function momentText(nanoseconds: bigint): string {
  const seconds = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, -5);
  return `${seconds}.${String(nanoseconds % 1_000_000_000n).padStart(9, '0')}Z`;
}
