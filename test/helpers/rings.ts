/** For tests of what is done in an io_uring. */
import { Uring } from '../../driver/io/uring.js';
import { PollSet } from '../../server/system/poll-set.js';
import { POLLIN } from '../../server/system/sockets.js';
import { skipBecause } from './tools.js';

/** False where there is io_uring, else the reason to skip. */
export function skipWithoutUring(): string | false {
  const ring = Uring.open(2);
  if (ring === undefined) return skipBecause('the system has no io_uring for us');
  ring.close();
  return false;
}

const polls = new PollSet();

/** Whether the descriptor has something to reap, within `timeoutMs`. */
export function isReady(fd: number, timeoutMs: number): boolean {
  polls.set(0, fd, POLLIN);
  return polls.wait(1, timeoutMs) === 1 && polls.isReady(0);
}

/** What a thread that waits for completions needs of a ring, or of what is built on one. */
interface Reaped {
  readonly fd: number;
  submit(): boolean;
  reap(onDone: (token: number, result: number) => void): void;
}

/** Hands over what was queued, and waits for `count` completions: their results by token. */
export function complete(ring: Reaped, count: number): Map<number, number> {
  const results = new Map<number, number>();
  const limit = Date.now() + 30_000;
  while (results.size < count) {
    ring.submit();
    if (Date.now() > limit) throw new Error(`${results.size} of ${count} operations completed`);
    if (!isReady(ring.fd, 1000)) continue;
    ring.reap((token, result) => {
      if (results.has(token)) throw new Error(`token ${token} was told twice`);
      results.set(token, result);
    });
  }
  return results;
}
