/** A look through the processes of this machine that ends in time, however many there are. */

import { type Dir, opendirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** When a look has to end: `performance.now()`. */
export type Deadline = number;

/** One process after the other, the youngest first, until the deadline; other questions have their turns in between. */
export async function* processes(
  deadline: Deadline,
  except: readonly number[],
): AsyncGenerator<number, void, undefined> {
  const all = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && !except.includes(pid))
    .sort((a, b) => b - a);
  for (const pid of all) {
    if (performance.now() > deadline) return;
    yield pid;
    await nextTurn();
  }
}

/** What a process has open under a path, until the deadline. A process may end, or close, while it is looked at. */
export function* openFiles(
  pid: number,
  deadline: Deadline,
): Generator<{ readonly fd: string; readonly target: string }, void, undefined> {
  for (const fd of namesOneByOne(`/proc/${pid}/fd`)) {
    if (performance.now() > deadline) return;
    const target = linkOf(`/proc/${pid}/fd/${fd}`);
    // Sockets, pipes and the like have no slash in front.
    if (target.startsWith('/')) yield { fd, target };
  }
}

export const commandOf = (pid: number): string => textOf(`/proc/${pid}/comm`).trim() || 'unknown';

export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

export function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** A process may have a million descriptors: they are read as they are needed. */
function* namesOneByOne(path: string): Generator<string, void, undefined> {
  let directory: Dir | undefined;
  try {
    directory = opendirSync(path);
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) yield entry.name;
  } catch {
    // It has ended, or is none of ours.
  } finally {
    directory?.closeSync();
  }
}
