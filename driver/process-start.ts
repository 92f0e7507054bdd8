/**
 * What has to hold of the process before Node begins, for which the program starts itself once more, in the same process.
 *
 * - The mark of a process that memory is written back through: PR_SET_IO_FLUSHER, Linux 5.6. Without it a thread that
 *   needs memory may be made to wait until dirty pages are written, pages of a device that only it can write. The mark is a
 *   thread's, handed down to the threads that it starts, and kept by execve; Node has threads before the first line of a
 *   program runs.
 * - The size of libuv's pool, whose threads are there before that line, too: file systems that hang must not fill it
 *   (`io/file-lanes.ts`).
 *
 * Where Node was started by hand, without the first line of the program's file, SIGUSR1 opens the inspector's port from then on no more.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { LoopError } from './errno.js';
import { requireTasks } from './group-limits.js';
import { NO_INSPECTOR } from './helper/inspector-address.js';
import { POOL_THREADS } from './io/pool-size.js';

const PR_SET_IO_FLUSHER = 57;
/** Bits of field 9 of /proc/PID/stat (include/linux/sched.h): PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE. */
const MARK = 0x80000 | 0x100000;
/** linux/capability.h */
const CAP_SYS_RESOURCE = 24n;
const F_SETFD = 2;
const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const SIGSET_BYTES = 128;
/** Standard input, output and error; what a service manager hands over follows. */
const STANDARD_FDS = 3;

type Library = ReturnType<typeof import('koffi').load>;
type Call<A extends unknown[]> = (...args: A) => number;

/** Whether the main thread, and so every thread of this program, is marked. */
export function isIoFlusher(): boolean {
  // Behind the name, which may hold anything, the fields are numbers: the 7th is `flags`.
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
  return (flags & MARK) === MARK;
}

/**
 * Starts the program again where something of it is missing, and does not return then: same process, same descriptors.
 * Returns where all is there, or can't be had.
 */
export function startPrepared(): void {
  const pool = poolThreads();
  const isPoolSmall = !(Number(process.env.UV_THREADPOOL_SIZE) >= pool);
  const wantsMark = !isIoFlusher() && mayBecomeIoFlusher();
  if (!isPoolSmall && !wantsMark) return;
  process.env.UV_THREADPOOL_SIZE = String(Math.max(pool, Number(process.env.UV_THREADPOOL_SIZE) || 0));
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const libc = koffi.load('libc.so.6');
    const isMarked = wantsMark && markThread(libc);
    if (isPoolSmall || isMarked) startAgain(koffi, libc);
  } catch {
    // Whoever needs koffi more than this says what is the matter with it.
  }
}

/** What else a daemon has: the engine's threads, its reactors, workers of the kernel's, the helper process. */
const OTHER_TASKS = 48;
const LEAST_POOL = 8;
const LEAST_TASKS = 40;

/** Threads of the pool: all are made at once, and the engine ends without a word where the control group has no room for them. */
function poolThreads(): number {
  const own = readdirSync('/proc/self/task').length;
  try {
    const room = requireTasks(LEAST_TASKS - own, 'A daemon') + own;
    return Math.max(LEAST_POOL, Math.min(POOL_THREADS, room - OTHER_TASKS));
  } catch (error) {
    process.stderr.write(
      `nbdloopd: ${error instanceof LoopError ? `${error.message} (${error.errno})` : error}\n`,
    );
    process.exit(1);
  }
}

/** Read, not tried: a process of a user namespace has the capability and is refused. */
function mayBecomeIoFlusher(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

/** Looked at as well: a kernel that takes the call and leaves no mark would have us start for ever. */
function markThread(libc: Library): boolean {
  const prctl = libc.func('int prctl(int option, long a, long b, long c, long d)') as Call<number[]>;
  return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) === 0 && isIoFlusher();
}

/** With the very bytes it was started with: Node's own words lose those that are no UTF-8. Returns where it failed. */
function startAgain(koffi: typeof import('koffi'), libc: Library): void {
  const mask = libc.func('int pthread_sigmask(int how, const void *set, void *before)') as Call<
    [number, Buffer, null]
  >;
  const fcntl = libc.func('int fcntl(int fd, int command, int argument)') as Call<number[]>;
  for (const fd of inheritedDescriptors()) fcntl(fd, F_SETFD, 0);
  const execv = libc.func('int execv(const char *path, const void *words)') as Call<[string, BigUint64Array]>;
  // Words that each end with a zero, one behind the other; then their addresses, and a last one of 0.
  const bytes = startWords();
  const at = koffi.address(bytes);
  const starts = [0, ...Array.from(bytes.keys()).filter((i) => i > 0 && bytes[i - 1] === 0)];
  // It would end a program that has no handler yet; Node has it wait from its first steps on.
  mask(SIG_BLOCK, userSignal(), null);
  execv(process.execPath, BigUint64Array.from([...starts.map((start) => at + BigInt(start)), 0n]));
  mask(SIG_UNBLOCK, userSignal(), null);
}

/** Each with a zero behind it. Whoever wants to debug the program has said so. */
function startWords(): Buffer {
  const bytes = readFileSync('/proc/self/cmdline');
  if (process.execArgv.some((word) => word.startsWith('--inspect'))) return bytes;
  const first = bytes.indexOf(0) + 1;
  return Buffer.concat([bytes.subarray(0, first), Buffer.from(`${NO_INSPECTOR}\0`), bytes.subarray(first)]);
}

/** A sigset_t of SIGUSR1. */
function userSignal(): Buffer {
  const set = Buffer.alloc(SIGSET_BYTES);
  set.writeBigUInt64LE(1n << BigInt(constants.signals.SIGUSR1 - 1));
  return set;
}

/** What the program was started with and may use: Node made all of them close-on-exec. */
function inheritedDescriptors(): number[] {
  const { LISTEN_PID, LISTEN_FDS = '' } = process.env;
  const isOurs = LISTEN_PID === String(process.pid) && /^\d{1,4}$/.test(LISTEN_FDS);
  const standard = Array.from({ length: STANDARD_FDS + (isOurs ? Number(LISTEN_FDS) : 0) }, (_, fd) => fd);
  const named = process.argv.flatMap((word) => /\/(?:dev|proc\/self)\/fd\/(\d{1,9})/.exec(word)?.[1] ?? []);
  return [...standard, ...named.map(Number)];
}
