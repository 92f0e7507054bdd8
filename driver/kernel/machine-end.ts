/** Whether the machine goes down: then nobody comes after this daemon, whatever it was told at its start. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './command.js';

/** systemctl asks the service manager itself, without D-Bus: it answers at once or not at all, milliseconds. */
const ASK_MS = 1000;
/** struct utmp (utmp(5)): records of 384 bytes, the type at 0 (RUN_LVL is 1), at 4 the run level in the low byte. */
const Utmp = { BYTES: 384, RUN_LVL: 1, LEVEL: 4 } as const;
/** What init writes before it ends the machine: run level 0 is halt, 6 is reboot (init(8)). */
const ENDING_LEVELS = ['0', '6'];

/**
 * Asked of the service manager that runs: systemd, by its state "stopping" (a job for shutdown.target is queued);
 * OpenRC, by its run level; any other init, by the run level in /run/utmp. False where none of them tells. `root`: for tests.
 */
export async function isMachineEnding(root = '/'): Promise<boolean> {
  // sd_booted(3).
  if (existsSync(join(root, 'run/systemd/system'))) return (await systemState()) === 'stopping';
  const level = await readFile(join(root, 'run/openrc/softlevel'), 'latin1').catch(() => '');
  if (/^(shutdown|reboot)\b/.test(level)) return true;
  return ENDING_LEVELS.includes(
    runLevel(await readFile(join(root, 'run/utmp')).catch(() => Buffer.alloc(0))),
  );
}

/** Its exit status says only whether that is "running". */
const systemState = async (): Promise<string> =>
  (await runCommand('systemctl', ['is-system-running'], ASK_MS).catch(() => undefined))?.output ?? '';

/** Of the last change; empty where none is recorded. */
function runLevel(utmp: Buffer): string {
  let level = '';
  for (let at = 0; at + Utmp.BYTES <= utmp.length; at += Utmp.BYTES) {
    if (new Int16Array(utmp.buffer.slice(utmp.byteOffset + at, utmp.byteOffset + at + 2))[0] !== Utmp.RUN_LVL)
      continue;
    level = String.fromCharCode(utmp[at + Utmp.LEVEL] ?? 0);
  }
  return level;
}
