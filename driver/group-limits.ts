/** What the control group of this process, and those above it, allow: tasks and memory. The files of cgroupfs wait for nothing. */

import { readFileSync } from 'node:fs';
import { LoopError } from './errno.js';
import { seeDoctor } from './see-doctor.js';

export interface GroupLimit {
  /** Tasks, or bytes. */
  readonly limit: number;
  /** Of those, in use by all that is in the group; of memory, what can't be dropped or written back. */
  readonly used: number;
  /** The file that says so. */
  readonly file: string;
}

/** The tightest limit of tasks; undefined: there is none. */
export function taskLimit(): GroupLimit | undefined {
  const v2 = limitsOf('', '/sys/fs/cgroup', 'pids.max', (directory) => numberIn(`${directory}/pids.current`));
  const v1 = limitsOf('pids', '/sys/fs/cgroup/pids', 'pids.max', (directory) =>
    numberIn(`${directory}/pids.current`),
  );
  return tightest([...v2, ...v1]);
}

/** The tightest limit of memory; undefined: there is none. */
export function memoryLimit(): GroupLimit | undefined {
  const v2 = limitsOf('', '/sys/fs/cgroup', 'memory.max', (directory) =>
    sumIn(`${directory}/memory.stat`, ['anon', 'kernel', 'shmem', 'unevictable']),
  );
  const v1 = limitsOf('memory', '/sys/fs/cgroup/memory', 'memory.limit_in_bytes', (directory) =>
    sumIn(`${directory}/memory.stat`, ['total_rss', 'total_shmem', 'total_unevictable']),
  );
  return tightest([...v2, ...v1]);
}

/** Limits of the group and of those above it. `controller`: as /proc/self/cgroup names it. */
function limitsOf(
  controller: string,
  root: string,
  name: string,
  usedIn: (directory: string) => number,
): GroupLimit[] {
  const line = new RegExp(`^\\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(/.*)$`, 'm');
  const own = line.exec(textOf('/proc/self/cgroup'))?.[1];
  const limits: GroupLimit[] = [];
  for (let at = own; at !== undefined && at.length > 1; at = at.slice(0, at.lastIndexOf('/'))) {
    const directory = `${root}${at}`;
    const limit = numberIn(`${directory}/${name}`);
    if (Number.isFinite(limit)) limits.push({ limit, used: usedIn(directory), file: `${directory}/${name}` });
  }
  return limits;
}

const tightest = (limits: readonly GroupLimit[]): GroupLimit | undefined =>
  limits.reduce<GroupLimit | undefined>(
    (least, one) => (least === undefined || one.limit - one.used < least.limit - least.used ? one : least),
    undefined,
  );

/** Infinity where there is no number, or none that is a limit. */
function numberIn(file: string): number {
  const text = textOf(file).trim();
  const value = /^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  return value > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : value;
}

function sumIn(file: string, names: readonly string[]): number {
  const text = textOf(file);
  const values = names.map((name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0));
  return values.reduce((a, b) => a + b, 0);
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

const MIB = 1 << 20;
/** What a daemon needs to start, with a device and a client, beside what the engine has by then. */
const START_BYTES = 64 * MIB;

const inMiB = (bytes: number): string => `${Math.max(0, Math.floor(bytes / MIB))} MiB`;

/** Throws ENOMEM where the control group has less than so many bytes left; what has no limit has enough. */
export function requireMemory(bytes: number, what: string): void {
  const room = memoryLimit();
  if (room === undefined || room.limit - room.used >= bytes) return;
  throw new LoopError(
    'ENOMEM',
    `${what} takes some ${inMiB(bytes)}, and of ${inMiB(room.limit)} of memory that the control group may have ` +
      `(${room.file}, MemoryMax=) ${inMiB(room.limit - room.used)} are left ${seeDoctor('memory')}`,
  );
}

/** Throws EAGAIN where the control group may not have so many tasks more. Returns how many it may have; Infinity: no limit. */
export function requireTasks(tasks: number, what: string): number {
  const room = taskLimit();
  if (room === undefined) return Number.POSITIVE_INFINITY;
  const left = Math.max(0, room.limit - room.used);
  if (left >= tasks) return left;
  throw new LoopError(
    'EAGAIN',
    `${what} takes ${tasks} tasks more, and of ${room.limit} tasks that the control group may have (${room.file}, ` +
      `TasksMax=) ${left} are left ${seeDoctor('threads')}`,
  );
}

/** Looked at early: the engine ends without a word where it gets no memory. */
export const requireMemoryToStart = (): void => requireMemory(START_BYTES, 'A daemon');

const THREAD_BYTES = 8 * MIB;
/** A thread that serves clients, and workers of the kernel's for it. */
const THREAD_TASKS = 4;

/** There is room for another thread that serves clients. */
export function hasRoomForThread(): boolean {
  const fits = (room: GroupLimit | undefined, wanted: number): boolean =>
    room === undefined || room.limit - room.used >= wanted;
  return fits(memoryLimit(), THREAD_BYTES) && fits(taskLimit(), THREAD_TASKS);
}
