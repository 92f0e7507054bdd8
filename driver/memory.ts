/** What keeps the daemon alive and quick where memory is short: its pages, and its rank among those that may be killed. */

import { readFileSync, writeFileSync } from 'node:fs';
import koffi from 'koffi';
import { errnoName, LoopError } from './errno.js';
import { seeDoctor } from './see-doctor.js';

const mlock2 = koffi
  .load('libc.so.6')
  .func('int mlock2(size_t start, size_t length, unsigned int flags)') as (
  start: number,
  length: number,
  flags: number,
) => number;
/** Of mman.h, Linux 4.4: each page from its first use on. */
const MLOCK_ONFAULT = 1;

/**
 * Keeps the program's code and tables, its C heap and its first stack in memory, each page once it was used: under
 * pressure they would be dropped first, and read back from a disk before a request is served. The engine's own heap stays
 * out: it gives memory back by madvise, which fails where memory is locked, and the engine ends over that.
 *
 * Throws EPERM or ENOMEM where the limit (RLIMIT_MEMLOCK) does not allow it.
 */
export function lockMemory(): void {
  for (const { start, length } of lockable(readFileSync('/proc/self/maps', 'latin1'))) {
    if (mlock2(start, length, MLOCK_ONFAULT) === 0) continue;
    const errno = errnoName(koffi.errno());
    throw new LoopError(
      errno,
      `memory can't be locked (${errno}): --mlock needs CAP_IPC_LOCK, or a limit of locked memory (ulimit -l) above ` +
        `the size of the program ${seeDoctor('locked memory')}`,
    );
  }
}

/** Mappings of files, of the heap and of the stack, which the engine leaves alone. */
function lockable(maps: string): { start: number; length: number }[] {
  const line = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \d+ +(?:\/.*|\[heap\]|\[stack\])$/gm;
  return [...maps.matchAll(line)].map(([, from = '', to = '']) => {
    const start = Number.parseInt(from, 16);
    return { start, length: Number.parseInt(to, 16) - start };
  });
}

const OOM_SCORE = '/proc/self/oom_score_adj';
/** Of -1000 (never killed) to 1000: behind all that can be done without. */
const SHIELDED = -900;

/**
 * Where memory ran out, the process that the kernel ends is not the one that its dirty pages go through, as long as
 * there is another. From the first device that is bound to the last one; needs CAP_SYS_RESOURCE, and is gone without.
 */
export class OomShield {
  #before: string | undefined;
  /** Without the right to it, it is not asked for at every bind. */
  #isRefused = false;

  /** `bound`: how many devices are. */
  follow(bound: number): void {
    if (bound > 0 && this.#before === undefined && !this.#isRefused) this.#raise();
    else if (bound === 0 && this.#before !== undefined) {
      write(this.#before);
      this.#before = undefined;
    }
  }

  #raise(): void {
    const before = readFileSync(OOM_SCORE, 'utf8').trim();
    // A service manager may have set it lower, or as low, for good.
    if (!(Number(before) > SHIELDED)) return;
    if (write(String(SHIELDED))) this.#before = before;
    else this.#isRefused = true;
  }
}

function write(score: string): boolean {
  try {
    writeFileSync(OOM_SCORE, score);
    return true;
  } catch {
    return false;
  }
}
