import { LoopError } from '../errno.js';
import type { Binding } from './binding.js';
import type { LoopCore } from './loop-core.js';

/**
 * An opener, counted under openMutex alone. Throws ENXIO when the device is being removed.
 *
 * After that, holding nothing, a deferred open waits until a configure or clear in progress has settled, so that
 * no session begins on a device half way; an opener in the style of the kernel (suspend, resume) does not wait.
 */
export async function loOpen(core: LoopCore, options: { readonly deferred: boolean }): Promise<void> {
  await core.openers.open(() => {
    if (core.state === 'deleting') throw new LoopError('ENXIO', `${core.name} is being removed.`);
  });
  if (options.deferred) await core.transitions.settled();
}

/** That opener is gone. Returns the binding that its close was the last of, where autoclear wants it cleared. */
export const closeOpener = (core: LoopCore): Promise<Binding['id'] | undefined> =>
  core.openers.close((last) => {
    const binding = core.state === 'bound' ? core.binding : undefined;
    if (last) return binding?.autoclear ? binding.id : undefined;
    core.released = binding?.id;
    return undefined;
  });

/**
 * A clear is done, whose caller counted as an opener. Its close clears only what somebody else left to it: a binding
 * whose clear was deferred, or whose user closed meanwhile. One that was made since waits for its first user.
 */
export const closeClearer = (
  core: LoopCore,
  deferred: Binding['id'] | undefined,
): Promise<Binding['id'] | undefined> =>
  core.openers.close((last) => {
    const binding = core.state === 'bound' ? core.binding : undefined;
    if (!last || !binding?.autoclear) return undefined;
    return [deferred, core.released].includes(binding.id) ? binding.id : undefined;
  });
