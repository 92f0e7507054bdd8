/**
 * The mark of a process that memory is written back through: PR_SET_IO_FLUSHER, Linux 5.6. Without it a thread that
 * needs memory may be made to wait until dirty pages are written, pages of a device that only it can write.
 *
 * The mark is a thread's, handed down to the threads that it starts, and kept by execve. Node has threads before it runs
 * the first line of a program; so the program marks its main thread and starts itself once more, in the same process.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const PR_SET_IO_FLUSHER = 57;
/** Bits of field 9 of /proc/PID/stat (include/linux/sched.h): PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE. */
const MARK = 0x80000 | 0x100000;
/** linux/capability.h */
const CAP_SYS_RESOURCE = 24n;
const F_SETFD = 2;
/** Standard input, output and error; what a service manager hands over follows. */
const STANDARD_FDS = 3;

type Call<A extends unknown[]> = (...args: A) => number;

/** Whether the main thread, and so every thread of this program, is marked. */
export function isIoFlusher(): boolean {
  // Behind the name, which may hold anything, the fields are numbers: the 7th is `flags`.
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
  return (flags & MARK) === MARK;
}

/**
 * Where the mark can be had, starts the program again with it and does not return: same process, same descriptors. Returns
 * where it is there already, and where it can't be had.
 */
export function becomeIoFlusher(): void {
  if (isIoFlusher() || !mayBecomeOne()) return;
  try {
    restartMarked();
  } catch {
    // Whoever needs koffi more than this says what is the matter with it.
  }
}

/** Read, not tried: most who may not need not load koffi first. */
function mayBecomeOne(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

function restartMarked(): void {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const libc = koffi.load('libc.so.6');
  const prctl = libc.func('int prctl(int option, long a, long b, long c, long d)') as Call<number[]>;
  // Looked at again: a kernel that takes the call and leaves no mark would have us start for ever.
  if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) !== 0 || !isIoFlusher()) return;
  const fcntl = libc.func('int fcntl(int fd, int command, int argument)') as Call<number[]>;
  for (const fd of inheritedDescriptors()) fcntl(fd, F_SETFD, 0);
  const execv = libc.func('int execv(const char *path, const char **words)') as Call<
    [string, (string | null)[]]
  >;
  // Returns where it failed: marked is then the main thread, and what it starts from here on.
  execv(process.execPath, [process.argv0, ...process.execArgv, ...process.argv.slice(1), null]);
}

/** What the program was started with and may use: Node made all of them close-on-exec. */
function inheritedDescriptors(): number[] {
  const { LISTEN_PID, LISTEN_FDS = '' } = process.env;
  const isOurs = LISTEN_PID === String(process.pid) && /^\d{1,4}$/.test(LISTEN_FDS);
  const standard = Array.from({ length: STANDARD_FDS + (isOurs ? Number(LISTEN_FDS) : 0) }, (_, fd) => fd);
  const named = process.argv.flatMap((word) => /\/(?:dev|proc\/self)\/fd\/(\d{1,9})/.exec(word)?.[1] ?? []);
  return [...standard, ...named.map(Number)];
}
