/** Who has a file locked: only to word a message. The kernel does not tell it of a lock that goes with a descriptor. */

import { stat } from 'node:fs/promises';
import { commandOf, type Deadline, openFiles, processes, textOf } from './processes.js';

export interface LockedFile {
  /** st_dev and st_ino. */
  readonly device: bigint;
  readonly inode: bigint;
}

/** Programs that a daemon of ours may go by: they are looked at first. */
const LIKELY = /^(node|nbdloop|MainThread)/;

/** A phrase for 'it is in use by': which process, as far as it was found within `withinMs`. */
export async function lockHolder({
  device,
  inode,
  except,
  withinMs,
}: LockedFile & { readonly except: readonly number[]; readonly withinMs: number }): Promise<string> {
  // `1: OFDLCK ADVISORY WRITE -1 08:01:1234 0 0`: the number of the device is not always that of stat.
  if (!new RegExp(`OFDLCK.*:${inode} `).test(textOf('/proc/locks'))) {
    return 'another daemon that this process can not see, perhaps on another host';
  }
  const deadline = performance.now() + withinMs;
  const others: number[] = [];
  for await (const pid of processes(deadline, [...except, process.pid])) {
    if (!LIKELY.test(commandOf(pid))) others.push(pid);
    else if (await holds(pid, { device, inode }, deadline)) return phrase(pid);
  }
  for (const pid of others) {
    if (performance.now() > deadline) break;
    if (await holds(pid, { device, inode }, deadline)) return phrase(pid);
  }
  return 'another daemon, which was not found among the processes of this machine';
}

const phrase = (pid: number): string => `another daemon (process ${pid}, ${commandOf(pid)})`;

async function holds(pid: number, file: LockedFile, deadline: Deadline): Promise<boolean> {
  const lock = new RegExp(`^lock:.*OFDLCK.*:${file.inode} `, 'm');
  for (const { fd } of openFiles(pid, deadline)) {
    // Only a file that is likely to be it is asked itself: its file system may hang.
    if (lock.test(textOf(`/proc/${pid}/fdinfo/${fd}`)) && (await isFile(`/proc/${pid}/fd/${fd}`, file)))
      return true;
  }
  return false;
}

async function isFile(path: string, { device, inode }: LockedFile): Promise<boolean> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found?.dev === device && found.ino === inode;
}
