import type { ForcedOutcome } from './clear.js';
import { loopClrFd } from './clear.js';
import type { LoopCore } from './loop-core.js';

/** So long a clear by force is waited for: what takes longer hangs, milliseconds. */
const FORCED_MS = 1000;

/**
 * LOOP_CLR_FD by force, which nobody waits for long: requests that are under way, or an operation that has the device
 * locked, may wait for a file system that does not answer. Then it goes on by itself, and the device says so meanwhile.
 * Throws ENXIO when not bound.
 */
export async function clearByForce(core: LoopCore): Promise<ForcedOutcome> {
  if (core.isHanging) return 'hanging';
  const clearing = core.task('clr_fd', () => loopClrFd(core, { force: true }));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), FORCED_MS);
  });
  const outcome = await Promise.race([clearing, late]).finally(() => clearTimeout(timer));
  if (outcome !== 'late') return outcome;
  const ended = clearing.catch((error: unknown) => core.host.report(core, error));
  // All that is left is the close of the file.
  if (core.state === 'unbound') return 'cleared';
  core.isHanging = true;
  void ended.then(() => {
    core.isHanging = false;
  });
  return 'hanging';
}
