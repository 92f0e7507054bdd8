/** The kernel's nbd module: loaded when it is first needed, if it can be. */

import { existsSync } from 'node:fs';
import { seeDoctor } from '../see-doctor.js';
import type { Obstacle } from './attach.js';
import { lastLine, runCommand } from './command.js';
import { deviceExists } from './sysfs.js';

/** modprobe is killed after this, milliseconds. */
const MODPROBE_TIMEOUT_MS = 30_000;

let tried: Promise<Obstacle | null> | undefined;

/** Null when the kernel has the driver. modprobe is tried once a process; its failure is told each time. */
export function moduleObstacle(): Promise<Obstacle | null> {
  if (isPresent()) return Promise.resolve(null);
  tried ??= loadModule();
  return tried;
}

const isPresent = (): boolean => existsSync('/sys/module/nbd') || deviceExists(0);

async function loadModule(): Promise<Obstacle | null> {
  const missing = (why: string): Obstacle => ({
    errno: 'ENODEV',
    message: `this kernel has no nbd module: ${why} ${seeDoctor('nbd module')}`,
  });
  try {
    const { status, output } = await runCommand('modprobe', ['nbd'], MODPROBE_TIMEOUT_MS);
    if (isPresent()) return null;
    return missing(status === 0 ? 'modprobe nbd made no device' : lastLine(output));
  } catch {
    return missing('modprobe is not installed');
  }
}
