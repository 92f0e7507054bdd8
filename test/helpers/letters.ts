/** Files and exports that show by one letter which they are. */
import { writeFileSync } from 'node:fs';
import type { Daemon } from './daemon.js';
import { NbdSession } from './nbd-session.js';

export const LETTERED_BYTES = 256 << 10;

/** A file that is one letter from end to end. */
export function letters(path: string, letter: string, bytes = LETTERED_BYTES): string {
  writeFileSync(path, letter.repeat(bytes));
  return path;
}

/** The letter that a client reads at the beginning of an export; undefined where there is no such export. */
export async function letterOf(daemon: Daemon, name: string): Promise<string | undefined> {
  const session = await NbdSession.open(daemon.socket, name).catch(() => undefined);
  if (session === undefined) return undefined;
  const { error, data } = await session.read(0, 512);
  session.leave('end');
  return error === 0 ? data.toString('latin1', 0, 1) : `error ${error}`;
}
