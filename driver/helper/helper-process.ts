/** The program of the helper process: does what it is asked, many things at a time, until the daemon is gone. */

import { writeFileSync } from 'node:fs';
import { type ErrnoName, errnoName, LoopError } from '../errno.js';
import { thawAll } from './freeze-mounts.js';
import type { Answer, Question } from './messages.js';
import { TASKS } from './tasks.js';

/** Where memory runs out, this process goes before the daemon does: the next question starts another. */
const EXPENDABLE = '500';
try {
  writeFileSync('/proc/self/oom_score_adj', EXPENDABLE);
} catch {
  // Without /proc it is what the daemon is.
}
/** It ends with the daemon, not before. */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const)
  process.on(signal, () => {});
// An exit would wait for threads that wait in the kernel.
process.on('disconnect', () => {
  thawAll();
  process.kill(process.pid, 'SIGKILL');
});
process.on('message', (question: Question) => void carryOut(question));
process.send?.('ready' satisfies Answer);

async function carryOut({ id, task, argument }: Question): Promise<void> {
  let answer: Answer;
  try {
    // The types of `askHelper` pair a task with its argument.
    answer = { id, result: await TASKS[task](argument as never) };
  } catch (error) {
    answer = { id, ...explained(error) };
  }
  process.send?.(answer);
}

function explained(error: unknown): { errno: ErrnoName; message: string } {
  if (error instanceof LoopError) return { errno: error.errno, message: error.message };
  const { errno, message } = error as NodeJS.ErrnoException;
  return { errno: errno === undefined ? 'EIO' : errnoName(Math.abs(errno)), message };
}
