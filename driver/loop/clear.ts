import { LoopError } from '../errno.js';
import type { BackingFile } from '../io/backing-file.js';
import type { Binding, LoopCore } from './loop-core.js';
import { closeClearer, closeOpener, loOpen } from './open-release.js';

/** What became of a clear: done, or left to the last close. */
export type ClearOutcome = 'cleared' | 'deferred';

/** What to clear. */
interface Wish {
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
  let deferred: Binding['id'] | undefined;
  let left: Binding['id'] | undefined;
  try {
    deferred = await deferOrClear(core, wish);
  } finally {
    // Also after a refusal: meanwhile this may have become the last close of what somebody else bound and used.
    left = await closeClearer(core, deferred);
    if (left !== undefined) await autoclear(core, left);
  }
  return deferred === undefined || left === deferred ? 'cleared' : 'deferred';
}

/**
 * An opener is gone. When it was the last of a bound device with autoclear, the device is cleared just as by open,
 * clr_fd, close, now that openMutex is dropped.
 *
 * A deferred close waits for that. One in the style of the kernel (suspend, resume) does not: the clear waits for
 * I/O, which its caller may be holding up.
 */
export async function loRelease(core: LoopCore, options: { readonly deferred: boolean }): Promise<void> {
  const left = await closeOpener(core);
  if (left === undefined) return;
  if (options.deferred) return autoclear(core, left);
  void core.host.order
    .detached(`autoclear ${core.name}`, () => autoclear(core, left))
    .catch((error: unknown) => core.host.report(core, error));
}

async function autoclear(core: LoopCore, binding: Binding['id']): Promise<void> {
  try {
    await loopClrFd(core, { force: false, only: binding });
  } catch (error) {
    // Somebody else cleared it, or took autoclear away.
    if (!(error instanceof LoopError && error.errno === 'ENXIO')) throw error;
  }
}

/** Caller counts as an opener. Returns the binding when it is left to the last close. */
async function deferOrClear(core: LoopCore, wish: Wish): Promise<Binding['id'] | undefined> {
  const decision = { deferred: undefined, rundown: undefined } as Decision;
  await core.globallyExclusive(async () => {
    const binding = core.bound();
    if (wish.only !== undefined && (binding.id !== wish.only || !binding.autoclear)) throw noLonger(core);
    if (wish.force || core.openers.count === 1) {
      // In the same step as the look at the openers: who opens from here on waits until this has settled.
      core.enterState('rundown');
      decision.rundown = { file: binding.file, settle: core.transitions.begin() };
      return undefined;
    }
    decision.deferred = binding.id;
    core.setFlags({ autoclear: true, partscan: binding.partscan });
    return binding.autoclear ? undefined : 'change';
  });
  if (decision.rundown !== undefined) await rundown(core, decision.rundown);
  return decision.deferred;
}

interface Rundown {
  readonly file: BackingFile;
  /** Ends the transition. */
  readonly settle: () => void;
}

interface Decision {
  deferred: Binding['id'] | undefined;
  rundown: Rundown | undefined;
}

/** loop.c: `__loop_clr_fd`. The state is 'rundown' and no lock is held: the freeze may wait for I/O. */
async function rundown(core: LoopCore, { file, settle }: Rundown): Promise<void> {
  try {
    const frozen = await core.queue.freeze();
    core.publish(frozen, undefined);
    frozen.thaw();
    await core.exclusive(async () => {
      core.enterState('unbound');
      return 'unbind';
    });
  } finally {
    settle();
  }
  // No request holds the descriptor, and no lock is held while its data is written back.
  await file.close().catch((error: unknown) => core.host.report(core, error));
}

const noLonger = (core: LoopCore): LoopError =>
  new LoopError('ENXIO', `${core.name} no longer waits to be cleared.`);
