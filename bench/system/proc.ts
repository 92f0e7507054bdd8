/** What /proc tells of a process and its descendants: CPU time and peak memory (proc(5)). */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** Clock ticks a second of the times in /proc/PID/stat. Part of Linux's ABI on every port Node runs on. */
const USER_HZ = 100;

export interface CpuTimes {
  /** Microseconds that the process and its threads spent, user and system. */
  readonly own: number;
  /** Microseconds of its children that ended and were waited for. */
  readonly reaped: number;
}

/** Reads the times of /proc/PID/stat. The name in parentheses may hold spaces and parentheses itself. */
export const parseStat = (stat: string): CpuTimes => {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = (index: number): number => Number(fields[index] ?? Number.NaN);
  const microseconds = 1e6 / USER_HZ;
  // The state is field 3 of proc(5) and index 0 here: utime, stime, cutime, cstime are 14 to 17.
  return { own: (ticks(11) + ticks(12)) * microseconds, reaped: (ticks(13) + ticks(14)) * microseconds };
};

/** A size of /proc/PID/status in KiB, 0 where the line is missing. */
export const parseStatusSize = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0);

/** The process and all its descendants; none of those that ended meanwhile. */
export const processTree = (root: number): number[] => {
  const found = [root];
  for (const pid of found) found.push(...childrenOf(pid));
  return found;
};

const childrenOf = (pid: number): number[] => {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
};

/**
 * CPU microseconds of the process, its threads, its descendants, and all of those that ended.
 * It never falls between two readings: a child that ends moves from `own` to its parent's `reaped`.
 */
export const treeCpu = (root: number): number =>
  sumOver(root, (pid) => {
    const { own, reaped } = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return own + reaped;
  });

/** Sum of the peak resident sizes (VmHWM) in KiB. Pages that processes share count once for each. */
export const treePeak = (root: number): number =>
  sumOver(root, (pid) => parseStatusSize(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM'));

/** Sum of the present resident sizes in KiB. */
export const treeResident = (root: number): number =>
  sumOver(root, (pid) => parseStatusSize(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS'));

/** Makes the present size the peak, so that the next `treePeak` tells of what comes now (clear_refs 5). */
export const resetPeak = (root: number): void => {
  sumOver(root, (pid) => {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    return 0;
  });
};

const sumOver = (root: number, measure: (pid: number) => number): number => {
  let sum = 0;
  for (const pid of processTree(root)) {
    try {
      sum += measure(pid);
    } catch {
      // It ended between the listing and the reading.
    }
  }
  return sum;
};

/** CPU microseconds of this process's children that ended and were waited for. */
export const reapedCpu = (): number => parseStat(readFileSync('/proc/self/stat', 'utf8')).reaped;
