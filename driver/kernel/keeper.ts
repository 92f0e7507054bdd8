/**
 * Sockets and open files between two daemons: a process that does nothing holds them, and the next daemon takes them
 * out of it. So the kernel sees no dead connection, only one that answers a little later; and a file is served on that
 * was renamed or deleted, locked all the time. When no daemon comes, the keeper ends, the sockets close, and the kernel
 * waits for as long as it was told at the attachment.
 */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import { closeDescriptor } from './netlink/calls.js';

const KEEPER = 'sleep';
/** A descriptor that is inherited gets the number after standard input, output and errors. */
const FIRST_INHERITED = 3;

const syscall = koffi.load('libc.so.6').func('long syscall(long number, ...)') as (
  number: number,
  ...args: (string | number)[]
) => number;
/** asm-generic/unistd.h, the same on every architecture. */
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;

/** Where kept descriptors are: state for the next daemon. */
export interface Kept {
  readonly pid: number;
  /** When it started, as /proc tells: a process number is used again. */
  readonly startTime: string;
  /** Its descriptors, in the order of those that were given. */
  readonly descriptors: readonly number[];
}

/** Those that the next daemon would not find: it is not written down yet that they are there. */
const unknown = new Set<Kept>();

/** Has a keeper hold copies of descriptors for so many seconds; `keeperIsKnown` follows. Undefined where it can't be started. */
export function keepDescriptors(descriptors: readonly number[], seconds: number): Kept | undefined {
  const child = spawn(KEEPER, [String(seconds)], {
    stdio: ['ignore', 'ignore', 'ignore', ...descriptors],
    detached: true,
  });
  child.on('error', () => {}); // told by the missing pid
  child.unref();
  const { pid } = child;
  const startTime = pid === undefined ? undefined : startTimeOf(pid);
  if (pid === undefined || startTime === undefined) return undefined;
  const kept = { pid, startTime, descriptors: descriptors.map((_, i) => FIRST_INHERITED + i) };
  unknown.add(kept);
  return kept;
}

/** It is written down: the next daemon will find it. */
export const keeperIsKnown = (kept: Kept): void => void unknown.delete(kept);

/** The process ends at once: what nobody would find must not hold the locks of files that the next daemon wants. */
export function endUnknownKeepers(): void {
  for (const kept of unknown) endKeeper(kept);
}

/** Ends a keeper, and the descriptors with it. */
export function endKeeper(kept: Kept): void {
  const { pid, startTime } = kept;
  unknown.delete(kept);
  if (startTimeOf(pid) === startTime) process.kill(pid, 'SIGKILL');
}

/** Takes them out of the keeper and ends it. -1 for one that could not be had. */
export function takeDescriptors({ pid, startTime, descriptors }: Kept): number[] {
  const keeper = startTimeOf(pid) === startTime ? pidfdOpen(pid) : -1;
  // Looked at again: between the look and the open the number may have changed hands.
  if (keeper < 0 || startTimeOf(pid) !== startTime) return descriptors.map(() => -1);
  const taken = descriptors.map((fd) => pidfdGetfd(keeper, fd));
  closeDescriptor(keeper);
  process.kill(pid, 'SIGKILL');
  return taken;
}

const pidfdOpen = (pid: number): number => syscall(SYS_PIDFD_OPEN, 'int', pid, 'unsigned int', 0);

/** The copy is closed on exec. Needs the right to trace the process: one's own, or CAP_SYS_PTRACE. */
const pidfdGetfd = (pidfd: number, fd: number): number =>
  syscall(SYS_PIDFD_GETFD, 'int', pidfd, 'int', fd, 'unsigned int', 0);

/** Field 22 of /proc/PID/stat; the name before may hold anything, up to the last parenthesis. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
