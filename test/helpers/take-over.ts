import { Daemon } from './daemon.js';
import type { TempDir } from './temp.js';

/** A daemon that takes over from the one that runs. */
export async function takeOver(directory: TempDir, before: Daemon): Promise<Daemon> {
  const after = Daemon.launch(directory, { directory, args: ['--handover'] });
  await before.process.ended;
  await after.process.waitForOutput(/control socket/);
  return after;
}
