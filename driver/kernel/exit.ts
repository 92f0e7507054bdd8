/** The end of the process, whatever its threads do. */

import koffi from 'koffi';
import { endUnknownKeepers } from './keeper.js';

const exitGroup = koffi.load('libc.so.6').func('void _exit(int status)') as (status: number) => void;

/**
 * _exit(2). `process.exit` first joins every worker thread, and a reactor that waits in a system call of its own
 * is not interrupted by that: it would wait for ever.
 */
export function endProcess(status: number): never {
  endUnknownKeepers();
  exitGroup(status);
  throw new Error('_exit returned');
}
