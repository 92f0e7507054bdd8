/** Whether a process is still one that can do anything. */

import { readFileSync } from 'node:fs';

/** SIGKILL in a mask of signals (`1 << (9 - 1)`). */
const KILL_BIT = 1n << 8n;

/**
 * True where a process has ended or was killed, though a thread of it may still wait in the kernel, for a file system that
 * hangs, and keep its descriptors and locks: nothing of it comes back from there but that thread's end (proc(5): State,
 * SigPnd, ShdPnd). False for one that runs, and where /proc does not show it.
 */
export function isEnding(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    return false;
  }
  if (/^State:\s+[ZX]/m.test(status)) return true;
  const masks = [...status.matchAll(/^(?:SigPnd|ShdPnd):\s+([0-9a-f]+)$/gm)];
  return masks.some(([, mask = '0']) => (BigInt(`0x${mask}`) & KILL_BIT) !== 0n);
}
