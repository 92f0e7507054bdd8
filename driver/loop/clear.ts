import { LoopError } from '../errno.js';
import type { Backing } from './backing.js';
import { closeWrappers, settleLast } from './bench.js';
import type { Binding } from './binding.js';
import type { LoopCore, Waiting } from './loop-core.js';
import { closeClearer, closeOpener, loOpen } from './open-release.js';

/** The close of a file is waited for so long, milliseconds. */
const CLOSE_MS = 2000;

/** What became of a clear: done, or left to the last close. */
export type ClearOutcome = 'cleared' | 'deferred';

/** By force: what was under way hangs, and the device lets go of its file when that ends. */
export type ForcedOutcome = ClearOutcome | 'hanging';

/** What to clear. */
interface Wish extends Waiting {
  /** Now, whoever has the device open. */
  readonly force: boolean;
  /** Only this binding, and only while autoclear wants it. */
  readonly only?: Binding['id'];
}

/**
 * LOOP_CLR_FD. Throws ENXIO when not bound.
 *
 * With another opener the device gets autoclear instead, and the last close clears it. With `force` it is cleared
 * now: sessions stay connected and get EIO.
 */
export async function loopClrFd(core: LoopCore, wish: Wish): Promise<ClearOutcome> {
  await loOpen(core, { deferred: false });
  let taken: Taken = {};
  let left: Binding['id'] | undefined;
  try {
    taken = await deferOrClear(core, wish);
  } finally {
    // Also after a refusal: meanwhile this may have become the last close of what somebody else bound and used.
    left = await closeClearer(core, taken.deferred);
    if (taken.file !== undefined) await closeFile(core, taken.file, wish);
    if (left !== undefined) await autoclear(core, left, wish);
  }
  return taken.deferred === undefined || left === taken.deferred ? 'cleared' : 'deferred';
}

/**
 * An opener is gone. When it was the last of a bound device with autoclear, the device is cleared just as by open,
 * clr_fd, close, now that openMutex is dropped.
 *
 * The clear may have to wait for I/O, which a close never does: it goes on by itself then. A deferred close waits for
 * one that need not, so that its caller finds the device unbound; one in the style of the kernel (suspend, resume)
 * waits for nothing.
 */
export async function loRelease(core: LoopCore, options: { readonly deferred: boolean }): Promise<void> {
  const left = await closeOpener(core);
  if (left === undefined) return;
  await new Promise<void>((resolve) => {
    const clearing = core.detached('autoclear', () => autoclear(core, left, { onWait: resolve }));
    void clearing.catch((error: unknown) => core.host.report(core, error)).then(() => resolve());
    if (!options.deferred) resolve();
  });
}

async function autoclear(core: LoopCore, binding: Binding['id'], { onWait }: Waiting): Promise<void> {
  try {
    await loopClrFd(core, { force: false, only: binding, ...(onWait && { onWait }) });
  } catch (error) {
    // Somebody else cleared it, or took autoclear away.
    if (!(error instanceof LoopError && error.errno === 'ENXIO')) throw error;
  }
}

/** What a clear has come to: one of the two. */
interface Taken {
  /** The binding, left to the last close. */
  readonly deferred?: Binding['id'];
  /** The file, which is the device's no longer. */
  readonly file?: Backing;
}

/** Caller counts as an opener. */
async function deferOrClear(core: LoopCore, wish: Wish): Promise<Taken> {
  const decision: Decision = {};
  await core.globallyExclusive(async () => {
    const binding = core.bound();
    if (wish.only !== undefined && (binding.id !== wish.only || !binding.autoclear)) throw noLonger(core);
    if (wish.force || core.openers.count === 1) {
      // In the same step as the look at the openers: who opens from here on waits until this has settled.
      core.enterState('rundown');
      decision.rundown = { binding, settle: core.transitions.begin() };
      return undefined;
    }
    if (!binding.autoclear) await noteAutoclear(core, binding);
    decision.deferred = binding.id;
    return binding.autoclear ? undefined : 'change';
  }, wish);
  const { rundown: mine, deferred } = decision;
  if (mine === undefined) return deferred === undefined ? {} : { deferred };
  await rundown(core, mine, wish);
  return { file: mine.binding.file };
}

/** The flag is set in the same step as the look at the openers, and taken back where it can't be written down. */
async function noteAutoclear(core: LoopCore, { autoclear }: Binding): Promise<void> {
  core.setUnseen({ autoclear: true });
  try {
    await core.note(core.bound());
  } catch (error) {
    core.setUnseen({ autoclear });
    throw error;
  }
}

interface Decision {
  deferred?: Binding['id'];
  rundown?: Rundown;
}

interface Rundown {
  readonly binding: Binding;
  /** Ends the transition. */
  readonly settle: () => void;
}

/** loop.c: `__loop_clr_fd`. The state is 'rundown' and no lock is held: the freeze may wait for I/O. */
async function rundown(core: LoopCore, { binding, settle }: Rundown, wish: Wish): Promise<void> {
  const { onWait } = wish;
  try {
    await forget(core, binding, wish);
    const frozen = await core.queue.freeze(onWait && { onWait });
    const { wrappers } = core.binding ?? binding;
    await settleBefore(core, binding);
    core.publish(frozen, undefined);
    frozen.thaw();
    await closeWrappers(wrappers);
    await core.exclusive(async () => {
      core.enterState('unbound');
      return 'unbind';
    });
  } finally {
    settle();
  }
}

/**
 * What a volatile cache holds goes into the file. A file that refuses it keeps nobody, as with the kernel's driver: what was
 * lost then nobody has flushed, and the log says so. The queue is frozen.
 */
const settleBefore = (core: LoopCore, binding: Binding): Promise<void> =>
  settleLast(core.binding ?? binding).catch((error: unknown) => {
    const { errno = 'EIO', message } = error as Partial<LoopError>;
    const { path } = (core.binding ?? binding).file;
    const sentence = `${core.name}: ${path}: ${message}: what nobody flushed is lost`;
    core.host.report(core, new LoopError(errno, sentence));
  });

/**
 * It is written down that the device lets go of its file before it does: a daemon that comes after a crash must not
 * serve a file that was let go of. Where it can't be written the device stays bound, and the caller is told; a last close
 * and `force` are not to be refused: then it is written as soon as it can be.
 */
async function forget(core: LoopCore, binding: Binding, wish: Wish): Promise<void> {
  const ledger = core.host.ledger();
  if (ledger === undefined) return;
  wish.onWait?.();
  try {
    if (wish.force || wish.only !== undefined) await ledger.forgetAnyway(core.number, binding);
    else await ledger.forget(core.number, binding);
  } catch (error) {
    await core.exclusive(async () => {
      core.enterState('bound');
      return undefined;
    });
    throw error;
  }
}

/**
 * No request holds the descriptor, no lock is held and nobody counts as an opener: its data may be written back. A file
 * system that hangs keeps the file, not whoever cleared the device.
 */
async function closeFile(core: LoopCore, file: Backing, { onWait }: Waiting): Promise<void> {
  onWait?.();
  const { path } = file;
  const closed = core.goingOn(file.close().catch((error: unknown) => core.host.report(core, error)));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      core.host.report(
        core,
        new LoopError('ETIMEDOUT', `${path} is not closed yet: its file system does not answer.`),
      );
      resolve();
    }, CLOSE_MS);
  });
  await Promise.race([closed, late]).finally(() => clearTimeout(timer));
}

const noLonger = (core: LoopCore): LoopError =>
  new LoopError('ENXIO', `${core.name} no longer waits to be cleared.`);
