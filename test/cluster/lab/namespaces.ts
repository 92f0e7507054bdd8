import { readlinkSync } from 'node:fs';

/** Name of the network namespace of a process; undefined when it is gone. */
export function netNamespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}
