/**
 * Locks of a daemon that was killed and can't end, since a thread of it waits in the kernel for a file system that hangs: it
 * keeps all its descriptors until then, those of files elsewhere, too. Nothing of it writes there any more, so that the daemon
 * after it need not wait for these.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { isEnding } from '../process-end.js';
import { isDomain } from './opened-file.js';

/** What was found out counts for so long, milliseconds. */
const FRESH_MS = 200;

/** What is left of it. */
interface Remains {
  /** Names of the threads that are left; one that serves files is named after what it waits for. */
  readonly threads: ReadonlySet<string>;
  /** Inodes of files that it has locked. */
  readonly locked: ReadonlySet<string>;
  readonly at: number;
}

let predecessor: number | undefined;
let known: Remains | undefined;

/** The process whose locks may be left behind. */
export function expectLocksOf(pid: number | undefined): void {
  predecessor = pid;
  known = undefined;
}

/** True where it is that process that has a file locked, and none of its threads waits for the file's `domain`. */
export function isLeftBehind(inode: bigint, domain: string): boolean {
  if (predecessor === undefined || !isEnding(predecessor)) return false;
  if (known === undefined || performance.now() - known.at > FRESH_MS) known = remainsOf(predecessor);
  const { threads, locked } = known;
  if (threads.size === 0 || !locked.has(String(inode))) return false;
  // Of a name that is cut off nothing is known.
  return [...threads].every((name) => isDomain(name) && !domain.startsWith(name));
}

function remainsOf(pid: number): Remains {
  const tasks = namesIn(`/proc/${pid}/task`);
  const left = tasks.filter((task) => !/^State:\s+[ZX]/m.test(textOf(`/proc/${pid}/task/${task}/status`)));
  const [one] = left;
  return {
    threads: new Set(left.map((task) => servantOf(pid, task))),
    locked: one === undefined ? new Set() : lockedBy(`/proc/${pid}/task/${one}/fdinfo`),
    at: performance.now(),
  };
}

/** The name of a thread; of a worker of the kernel's, that of the thread that it works for. */
function servantOf(pid: number, task: string): string {
  const name = textOf(`/proc/${pid}/task/${task}/comm`).trim();
  const [, master] = /^iou-wrk-(\d+)$/.exec(name) ?? [];
  return master === undefined ? name : textOf(`/proc/${pid}/task/${master}/comm`).trim();
}

/** `lock: 1: OFDLCK ADVISORY WRITE -1 08:01:1234 ...`: of the numbers only the inode's is always that of stat. */
function lockedBy(directory: string): ReadonlySet<string> {
  const texts = namesIn(directory).map((fd) => textOf(`${directory}/${fd}`));
  return new Set(texts.flatMap((text) => /^lock:.*OFDLCK.*:(\d+) /m.exec(text)?.[1] ?? []));
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
