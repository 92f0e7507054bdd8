/** Deltas that are made: over a base, as a copy of another, without a name. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { LoopError } from '../../errno.js';
import { nameToBytes } from '../../file-name.js';
import { FileLane } from '../../io/file-lanes.js';
import { codeOf } from '../../io/named-file.js';
import { initialise, readHeader, writeHeader } from '../../store/delta/delta-file.js';
import {
  blockSizeFor,
  type DeltaHeader,
  layoutFor,
  MAX_BLOCK,
  MAX_BLOCKS,
} from '../../store/delta/header.js';
import type { SharedLayer } from './shared-layer.js';
import type { WantedOverlay } from './wanted.js';

/** The header of a new delta. */
export async function headerOver(base: SharedLayer, wanted: WantedOverlay): Promise<DeltaHeader> {
  const noted = await base.asBase();
  if (noted.size === 0)
    throw new LoopError('EINVAL', `${noted.path} is empty: there is nothing to lay over.`);
  const least = blockSizeFor(noted.size) ?? Number.POSITIVE_INFINITY;
  const blockSize = wanted.blockSize ?? least;
  if (blockSize < least || blockSize > MAX_BLOCK) {
    throw new LoopError(
      'EFBIG',
      `${noted.path} has more than ${MAX_BLOCKS} blocks, of which a delta can tell: at most 8 TiB in blocks of 4096 bytes, 128 TiB in blocks of 65536.`,
    );
  }
  return {
    ...{ sequence: 1, session: 0, uuid: randomUUID(), blockSize },
    ...{ isClean: true, isSealed: false, isCommitting: false },
    ...{ virtualSize: noted.size, base: noted, ...layoutFor(noted.size, blockSize) },
  };
}

/** Makes a delta where there is no file, or an empty one ('wx': none). It is there after a power cut, too. */
export async function makeMissing(
  path: string,
  header: () => Promise<DeltaHeader>,
  mode: 'missing' | 'wx' = 'missing',
): Promise<void> {
  const lane = FileLane.of(resolve(path));
  const found = await lane.run(() => findPlace(path, mode));
  if (found === 'there') return;
  // It asks the base, in a turn of its own.
  const wanted = await header();
  await lane.run(() => make(path, wanted, found));
}

async function findPlace(path: string, mode: 'missing' | 'wx'): Promise<'there' | 'empty' | 'nothing'> {
  const present = await stat(nameToBytes(path)).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw notMade(path, error);
  });
  if (present === undefined) return 'nothing';
  if (mode === 'wx') throw new LoopError('EEXIST', `${path} exists already.`);
  return !present.isFile() || present.size > 0 ? 'there' : 'empty';
}

async function make(path: string, wanted: DeltaHeader, found: 'empty' | 'nothing'): Promise<void> {
  const name = nameToBytes(path);
  const flags = constants.O_RDWR | constants.O_CREAT | (found === 'nothing' ? constants.O_EXCL : 0);
  const file = await open(name, flags, 0o600).catch((error: unknown) => {
    throw notMade(path, error);
  });
  try {
    await initialise(file.fd, wanted);
    await file.sync();
    await syncDirectory(path);
  } catch (error) {
    if (found === 'nothing') await rm(name, { force: true });
    throw notMade(path, error);
  } finally {
    await file.close();
  }
}

/** A copy of a delta is another one, and was closed in order. */
export async function becomeAnother(fd: number, path: string): Promise<void> {
  const header = await readHeader(fd, path);
  const own = { uuid: randomUUID(), session: 0, isClean: true, isSealed: false, isCommitting: false };
  for (const _place of [1, 2])
    await writeHeader(fd, { ...header, ...own, sequence: header.sequence + _place });
}

/** What was named, renamed or removed in the directory of a path is so after a power cut, too. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(nameToBytes(dirname(path)), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

const notMade = (path: string, error: unknown): LoopError =>
  error instanceof LoopError
    ? error
    : new LoopError(codeOf(error), `${path} can't be made (${codeOf(error)}).`);

const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** A delta without a name, in TMPDIR where that is set, else beside the state. */
export async function makeUnnamed(header: DeltaHeader, beside: string | undefined): Promise<FileHandle> {
  const directory = process.env.TMPDIR ? tmpdir() : (beside ?? tmpdir());
  let file: FileHandle;
  try {
    file = await open(directory, constants.O_RDWR | O_TMPFILE, 0o600);
  } catch {
    // A file system that has no such files.
    const path = join(directory, `.nbdloop-${header.uuid}`);
    file = await open(path, 'wx+', 0o600).catch((error: unknown) => {
      throw notMade(path, error);
    });
    await rm(path, { force: true });
  }
  await initialise(file.fd, header);
  return file;
}
