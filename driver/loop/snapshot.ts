import fs from 'node:fs';
import { rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { errnoName, LoopError } from '../errno.js';
import { nameToBytes } from '../file-name.js';
import { codeOf } from '../io/named-file.js';
import { cloneFile } from '../io/syscalls.js';
import type { Held } from '../locks/mutex.js';
import type { Frozen } from '../queue/request-queue.js';
import { settleAll } from './bench.js';
import type { Binding } from './binding.js';
import type { LoopCore } from './loop-core.js';
import { becomeAnother, syncDirectory } from './overlay/new-delta.js';
import { inUse } from './overlay/open-overlay.js';
import { OverlayFile } from './overlay/overlay-file.js';
import { type PreparedSeal, prepareSeal } from './overlay/seal.js';

const { EXDEV } = constants.errno;
const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);
const syncFile = promisify(fs.fsync);

/** Of which device, and into which file, which must not be there. Absolute path. */
export interface SnapshotTarget {
  readonly number: number;
  readonly file: string;
}

export interface SnapshotResult extends SnapshotTarget {
  /**
   * A clone shares its blocks with the device's file (of an overlay: with its delta, so that it is a delta itself); sealed:
   * what was the delta has this name, and a new one over it has taken its own.
   */
  readonly kind: 'clone' | 'sealed';
  /** Of the overlay from now on; null for a plain file. */
  readonly delta: string | null;
  /** How long requests waited at most, milliseconds. */
  readonly waitedMs: number;
  /** Of these, until those in flight had ended. */
  readonly drainedMs: number;
  /** Of these, until what they had written was on disk. */
  readonly syncedMs: number;
}

/** What is dirty is written back before the freeze so often at most: */
const PASSES = 6;
/** no more once it takes no longer than this, milliseconds, */
const SHORT_MS = 5;
/** or once it gets no shorter than so much of the time before: a disk that takes what is written no faster than it is written. */
const WORTH = 0.8;

/** What is done of one device, in order. */
interface Taking {
  readonly kind: SnapshotResult['kind'];
  /** While no request is in flight: what is to be served from then on, if it is another binding. */
  take(): Promise<Binding | undefined>;
  /** When requests go on. */
  finish(): Promise<void>;
  undo(): Promise<void>;
}

/**
 * Snapshots of devices at one instant: all of them are frozen before the first is taken. Locks and freezes are taken in
 * ascending number. What takes long (making files, writing back what is dirty) is done before the freeze.
 *
 * Throws ENXIO not bound, EEXIST, EOPNOTSUPP for a plain file where its file system has no clones, EXDEV, EROFS, ELOOP; then
 * nothing has changed.
 */
export async function loopSnapshot(
  targets: readonly { readonly core: LoopCore; readonly file: string }[],
): Promise<SnapshotResult[]> {
  const all = [...targets].sort((a, b) => a.core.number - b.core.number);
  if (new Set(all.map(({ core }) => core)).size < all.length || all.length === 0) {
    throw new LoopError('EINVAL', 'A snapshot is of each device once, and of one at least.');
  }
  if (new Set(all.map(({ file }) => file)).size < all.length) {
    throw new LoopError('EINVAL', 'Each device has a snapshot file of its own.');
  }
  const locks: Held[] = [];
  try {
    for (const { core } of all) locks.push(await core.loMutex.acquire({ rank: core.number }));
    return await snapshotUnder(all);
  } finally {
    for (const lock of locks.reverse()) lock.release();
  }
}

/** Caller holds loMutex of all. */
async function snapshotUnder(
  all: readonly { readonly core: LoopCore; readonly file: string }[],
): Promise<SnapshotResult[]> {
  const takings: Taking[] = [];
  try {
    for (const { core, file } of all) takings.push(await prepare(core, file));
    await writeBack(all);
  } catch (error) {
    for (const taking of takings) await taking.undo();
    throw error;
  }
  const began = performance.now();
  const frozen: Frozen[] = [];
  let drained = began;
  let synced = began;
  let next: (Binding | undefined)[];
  try {
    for (const { core } of all) frozen.push(await core.queue.freeze({ rank: core.number }));
    drained = performance.now();
    // What a volatile cache holds was answered: it is in the snapshot.
    const ready = await Promise.allSettled(
      all.map(async ({ core }) => {
        await settleAll(core.bound());
        await core.bound().file.sync();
      }),
    );
    synced = performance.now();
    const taken = await Promise.allSettled(
      takings.map(async (taking, index) => {
        const before = ready[index];
        if (before?.status === 'rejected') throw before.reason;
        return taking.take();
      }),
    );
    const failed = taken.find((one) => one.status === 'rejected');
    next = taken.map((one) => (one.status === 'fulfilled' ? one.value : undefined));
    all.forEach(({ core }, index) => {
      const binding = next[index];
      if (binding !== undefined) core.publish(frozen[index] as Frozen, binding);
    });
    if (failed !== undefined) {
      await Promise.all(
        takings.map((taking, index) =>
          taken[index]?.status === 'rejected' ? taking.undo() : taking.finish(),
        ),
      );
      throw failed.reason;
    }
  } finally {
    for (const one of frozen) one.thaw();
  }
  const ended = performance.now();
  const results: SnapshotResult[] = [];
  for (const [index, { core, file }] of all.entries()) {
    const taking = takings[index] as Taking;
    await taking.finish().catch((error: unknown) => core.host.report(core, error));
    const binding = next[index];
    if (binding !== undefined)
      await core.note(binding).catch((error: unknown) => core.host.report(core, error));
    core.host.announce(core, 'change');
    results.push({
      ...{ number: core.number, file, kind: taking.kind, delta: core.binding?.file.overlay?.delta ?? null },
      ...{ waitedMs: ended - began, drainedMs: drained - began, syncedMs: synced - drained },
    });
  }
  return results;
}

/** Requests go on meanwhile: what they write while one pass is under way is for the next, and the last of it for the freeze. */
async function writeBack(all: readonly { readonly core: LoopCore }[]): Promise<void> {
  let before = Number.POSITIVE_INFINITY;
  for (let pass = 0; pass < PASSES; pass++) {
    const began = performance.now();
    await Promise.all(all.map(({ core }) => core.bound().file.sync()));
    const took = performance.now() - began;
    if (took <= SHORT_MS || took > before * WORTH) return;
    before = took;
  }
}

async function prepare(core: LoopCore, path: string): Promise<Taking> {
  const present = core.bound();
  const { file } = present;
  if (file.isCopied === true) throw new LoopError('EBUSY', `${core.name} is being copied.`);
  if (file.identity.kind === 'block' && file.overlay === undefined) {
    throw new LoopError(
      'EOPNOTSUPP',
      `${core.name} has a disk (${file.path}), of which there are no clones.`,
    );
  }
  const clone = await prepareClone(core, path);
  if (clone !== undefined) return clone;
  if (!(file instanceof OverlayFile)) {
    throw new LoopError(
      'EOPNOTSUPP',
      `${core.name}: the file system of ${file.path} has no clones (FICLONE). A device with an overlay has snapshots everywhere: nbdlosetup --overlay.`,
    );
  }
  return sealing(core, present, await prepareSeal(file, path, inUse));
}

/** Undefined where the file system has none. */
async function prepareClone(core: LoopCore, path: string): Promise<Taking | undefined> {
  const { file } = core.bound();
  let to: number;
  try {
    to = await openFile(nameToBytes(path), 'wx+', 0o600);
  } catch (error) {
    const what = codeOf(error) === 'EEXIST' ? 'exists already' : "can't be made";
    throw new LoopError(codeOf(error), `${core.name}: ${path} ${what} (${codeOf(error)}).`);
  }
  const undo = async (): Promise<void> => {
    await closeFile(to);
    await rm(nameToBytes(path), { force: true });
  };
  // It is made anew in the freeze, which takes no time in proportion to the file.
  const refused = await cloneFile(file.fd, to);
  if (refused !== 0) await undo();
  if (refused === -EXDEV && file.overlay === undefined) {
    throw new LoopError(
      'EXDEV',
      `${core.name}: ${path} is on another file system than ${file.path}, whose blocks a clone would share.`,
    );
  }
  if (refused !== 0) return undefined;
  return {
    kind: 'clone',
    undo,
    take: async () => {
      const errno = await cloneFile(file.fd, to);
      if (errno !== 0) {
        throw new LoopError(errnoName(-errno), `${core.name} can't be cloned (${errnoName(-errno)}).`);
      }
      return undefined;
    },
    finish: async () => {
      if (file.overlay !== undefined) await becomeAnother(to, path);
      await syncFile(to);
      await closeFile(to);
      await syncDirectory(path);
    },
  };
}

async function sealing(core: LoopCore, present: Binding, seal: PreparedSeal): Promise<Taking> {
  try {
    // Whichever of the two has the name when the daemon ends is the device's.
    await core.note({ ...present, nextDelta: seal.next.identity });
  } catch (error) {
    await seal.undo();
    throw error;
  }
  return {
    kind: 'sealed',
    take: async () => ({ ...present, file: await seal.exchange() }),
    finish: () => seal.finish(),
    undo: async () => {
      await seal.undo();
      await core.note(present);
    },
  };
}
