/** What is put between a device and its file for tests: a volatile cache, a log of writes. */
import { randomInt, randomUUID } from 'node:crypto';
import { constants as fs } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { errnoName, LoopError } from '../errno.js';
import { tellsHoles } from '../io/exact-holes.js';
import type { WrapperDescription } from '../store/description.js';
import { emptyLogHead, LogWriter, logMemory, MARK_BYTES } from '../store/log/log-writer.js';
import type { CutResult, Keep } from '../store/volatile/cut.js';
import { MAP_LIMIT, mapMemory } from '../store/volatile/sector-map.js';
import { settle } from '../store/volatile/settle.js';
import { arranged, wrapperOf } from './arrange.js';
import type { Backing } from './backing.js';
import { type Binding, storeOf } from './binding.js';
import type { LoopCore } from './loop-core.js';
import { setWrappers } from './set-wrappers.js';

const DRAWN_SEEDS = 2 ** 32;
const KEEP_ALL: Keep = { keep: 'all', seed: 0, tear: false };

/** Open files by the shared memory of what they belong to: closed when that is not published any more. */
const handles = new WeakMap<
  SharedArrayBuffer,
  { readonly files: readonly FileHandle[]; readonly path: string | null }
>();

/** Where a device lies in its store. */
type Placed = Pick<Binding, 'offset' | 'size'> & { readonly file: Pick<Backing, 'path' | 'identity'> };

/** A new cache for what is bound. Throws EFBIG, and whatever the directory for its files answers. */
export async function newVolatile({ offset, size, file }: Placed): Promise<WrapperDescription> {
  const bytes = Number(offset) + size;
  if (bytes > MAP_LIMIT) {
    throw new LoopError('EFBIG', `a volatile cache covers ${MAP_LIMIT} bytes at most, not ${bytes}`);
  }
  // Where the nodes of disks are is no place for their content.
  const directory = file.identity.kind === 'block' ? tmpdir() : dirname(file.path);
  const spill = await unnamedFile(directory);
  const files = [spill];
  try {
    const journal = await unnamedFile(directory);
    files.push(journal);
    const head = emptyLogHead();
    await journal.write(head, 0, head.length, 0).catch((error: unknown) => {
      throw asLoopError(error, 'the volatile cache');
    });
    const log = { fd: journal.fd, shared: logMemory() };
    const map = mapMemory(bytes);
    handles.set(map, { files, path: null });
    const holes = await tellsHoles(spill.fd);
    return { kind: 'volatile', spill: spill.fd, tellsHoles: holes, journal: log, bytes, map };
  } catch (error) {
    for (const one of files) await one.close();
    throw error;
  }
}

/** Beside the file, so that it does not count as memory; else where temporary files are. */
async function unnamedFile(directory: string): Promise<FileHandle> {
  const flags = fs.O_RDWR | fs.O_CREAT | fs.O_EXCL;
  for (const place of [directory, tmpdir()]) {
    const path = join(place, `.nbdloop-${randomUUID()}`);
    try {
      const file = await open(path, flags, 0o600);
      await unlink(path);
      return file;
    } catch (error) {
      if (place === tmpdir()) throw asLoopError(error, place);
    }
  }
  throw new LoopError('EIO', 'there is no place for a temporary file');
}

/** An empty log in this file, which is made or emptied. Throws what opening it answers. */
export async function newLog(path: string, start: bigint): Promise<WrapperDescription> {
  const file = await open(path, fs.O_RDWR | fs.O_CREAT | fs.O_TRUNC, 0o600).catch((error: unknown) => {
    throw asLoopError(error, path);
  });
  const shared = logMemory();
  handles.set(shared, { files: [file], path });
  const errno = new LogWriter({ fd: file.fd, shared }).begin();
  if (errno !== 0) {
    await file.close();
    throw new LoopError(errnoName(errno), `${path}: the log can't be begun`);
  }
  return { kind: 'log', fd: file.fd, shared, start: Number(start) };
}

function asLoopError(error: unknown, path: string): LoopError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'EIO';
  return new LoopError(
    code as LoopError['errno'],
    `${path}: ${error instanceof Error ? error.message : code}`,
  );
}

/** Files of wrappers that are not published any more. */
export async function closeWrappers(wrappers: readonly WrapperDescription[]): Promise<void> {
  for (const wrapper of wrappers) {
    const key =
      wrapper.kind === 'volatile' ? wrapper.map : wrapper.kind === 'log' ? wrapper.shared : undefined;
    for (const file of (key && handles.get(key)?.files) ?? []) await file.close().catch(() => undefined);
  }
}

/** The file of a device's log; null where there is none. */
export function logFileOf(core: LoopCore): string | null {
  const log = wrapperOf(core.binding?.wrappers ?? [], 'log');
  return (log && handles.get(log.shared)?.path) ?? null;
}

export const isVolatile = (core: LoopCore): boolean =>
  wrapperOf(core.binding?.wrappers ?? [], 'volatile') !== undefined;

/** Puts a volatile cache in, or takes it away: what it holds is made durable then. Throws ENXIO, EPERM. */
export async function setVolatile(core: LoopCore, on: boolean): Promise<void> {
  const bound = core.bound();
  if (on === isVolatile(core)) return;
  if (on && bound.readOnly)
    throw new LoopError('EPERM', `${core.name} is read-only: there is nothing to cache`);
  const cache = on ? await newVolatile(bound) : undefined;
  let gone: readonly WrapperDescription[] = cache === undefined ? [] : [cache];
  try {
    await setWrappers(core, async (present) => {
      // Somebody else was faster: the cache that there is holds what was answered.
      if (on && wrapperOf(present, 'volatile') !== undefined) return present;
      if (!on) await settleAll(core.bound());
      gone = present.filter(({ kind }) => kind === 'volatile');
      return arranged(present, 'volatile', cache);
    });
  } finally {
    await closeWrappers(gone);
  }
}

/** Makes durable what a volatile cache holds, which is then empty. The queue is frozen. */
export async function settleAll(binding: Binding): Promise<void> {
  await settleKept(binding, KEEP_ALL);
}

/** The same for the last time: on a throw, too, the cache is of no use any more. */
export async function settleLast(binding: Binding): Promise<void> {
  await settleKept(binding, KEEP_ALL, true);
}

async function settleKept(binding: Binding, keep: Keep, isLast = false): Promise<CutResult> {
  const cache = wrapperOf(binding.wrappers, 'volatile');
  if (cache === undefined) return { writes: 0, kept: 0, torn: 0 };
  const wrappers = binding.wrappers.slice(0, binding.wrappers.indexOf(cache));
  const { fd, dioAlignment, tellsHoles: tells } = binding.file;
  const stores = storeOf({ ...binding, wrappers }) ?? {
    inner: {
      kind: 'file' as const,
      fd,
      alignment: binding.directIo ? dioAlignment : 1,
      tellsHoles: tells,
    },
    wrappers: [],
  };
  return settle({ stores, cache, keep, isLast });
}

/** Puts a log of writes in, in place of one that there is, or takes it away. Throws ENXIO, and what opening the file answers. */
export async function setLog(core: LoopCore, path: string | null): Promise<void> {
  const log = path === null ? undefined : await newLog(path, core.bound().offset);
  let gone: readonly WrapperDescription[] = log === undefined ? [] : [log];
  try {
    await setWrappers(core, (present) => {
      gone = present.filter(({ kind }) => kind === 'log');
      return arranged(present, 'log', log);
    });
  } finally {
    await closeWrappers(gone);
  }
}

/** Notes a name in the log, behind everything that was answered. Throws ENXIO, EINVAL. */
export async function mark(core: LoopCore, name: string): Promise<void> {
  if (name === '' || Buffer.byteLength(name) > MARK_BYTES || name.includes('\0')) {
    throw new LoopError('EINVAL', `a mark is a name of 1 to ${MARK_BYTES} bytes`);
  }
  core.bound();
  await setWrappers(core, (present) => {
    const log = wrapperOf(present, 'log');
    if (log === undefined) throw new LoopError('ENXIO', `${core.name} has no log of writes`);
    const errno = new LogWriter(log).mark(name);
    if (errno !== 0) throw new LoopError(errnoName(errno), `${core.name}: the mark can't be written`);
    return present;
  });
}

/** How the power is cut. */
export interface PowerCut {
  readonly keep?: Keep['keep'] | undefined;
  readonly seed?: number | undefined;
  readonly tear?: boolean | undefined;
}

/** What is left. */
export interface PowerCutResult extends CutResult {
  readonly keep: Keep['keep'];
  readonly seed: number;
  readonly tear: boolean;
}

/**
 * The power goes: every session ends (`sever`), what was not made durable is gone but for what is kept, and the device is there anew
 * on what is left, with an empty cache. Throws ENXIO; EBUSY while a session can't end; and what the file answers to what is to be kept: then the sessions have ended,
 * and what the cache held is there.
 */
export async function powerCut(
  core: LoopCore,
  { keep = 'none', seed = randomInt(DRAWN_SEEDS), tear = false }: PowerCut,
  sever: () => Promise<boolean>,
): Promise<PowerCutResult> {
  core.bound();
  let result: CutResult = { writes: 0, kept: 0, torn: 0 };
  await setWrappers(core, async (present) => {
    // What it has under way would land on the life after.
    if (!(await sever()))
      throw new LoopError('EBUSY', `${core.name}: a session hangs in its file system: the power is not cut`);
    result = await settleKept(core.bound(), { keep, seed, tear });
    const log = wrapperOf(present, 'log');
    if (log !== undefined) new LogWriter(log).mark('power cut');
    // Faults are of the life before.
    return arranged(present, 'faults', undefined);
  });
  return { keep, seed, tear, ...result };
}
