import { readdirSync, readlinkSync } from 'node:fs';

type Pid = number | 'self';

/** What each descriptor of a process leads to; nothing when there is no such process. */
export function openFiles(pid: Pid = 'self'): string[] {
  return descriptors(pid)
    .map((fd) => linkOf(fd, pid))
    .filter((link) => link !== '');
}

/** How often this process has a file open. */
export const timesOpen = (path: string): number => openFiles().filter((open) => open === path).length;

/**
 * Sockets and files that this process has open, which is what a connection brings. Left out is what a thread opens when it first
 * needs it, and keeps: rings of io_uring, event counters, and up to 16 pipes ({@link pipeEnds}); how many it needed is a matter of time.
 */
export const openOfConnections = (): number =>
  openFiles().filter((link) => !/^(anon_inode|pipe):/.test(link)).length;

/** Ends of pipes that this process has open. */
export const pipeEnds = (): number => openFiles().filter((link) => link.startsWith('pipe:')).length;

function descriptors(pid: Pid): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch {
    return [];
  }
}

/** Empty for a descriptor that is closed: the one the directory was read with, or one that others use. */
export function linkOf(fd: string, pid: Pid = 'self'): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return '';
  }
}
