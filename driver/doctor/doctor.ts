/** Looks at all that the programs need of a machine, with the rights of whoever asks. */

import { checkDaemons, checkRunDirectory } from './daemons.js';
import { checkFile } from './file.js';
import type { Finding } from './finding.js';
import { checkModule, checkProcessor, checkRights, checkSeccomp, checkUring } from './kernel.js';
import {
  checkClock,
  checkIpv6,
  checkLimits,
  checkMountHelper,
  checkNode,
  checkTls,
  checkUnit,
} from './machine.js';

export type { Finding } from './finding.js';

/** Each is looked at by itself: one that can't be looked at says so, and the others go on. */
const CHECKS: Readonly<Record<string, () => Finding[] | Promise<Finding[]>>> = {
  'Node.js': checkNode,
  processor: checkProcessor,
  TLS: checkTls,
  clock: checkClock,
  'nbd module': checkModule,
  rights: checkRights,
  'run directory': checkRunDirectory,
  daemon: checkDaemons,
  'systemd unit': checkUnit,
  'mount helper': checkMountHelper,
  limits: checkLimits,
  io_uring: checkUring,
  seccomp: checkSeccomp,
  IPv6: checkIpv6,
};

/** `files`: those whose file systems are meant. */
export async function examine(files: readonly string[]): Promise<Finding[]> {
  const checks = [...Object.entries(CHECKS), ...files.map((file) => [file, () => checkFile(file)] as const)];
  const findings: Finding[] = [];
  for (const [check, look] of checks) {
    try {
      findings.push(...(await look()));
    } catch (error) {
      const says = `can't be looked at: ${error instanceof Error ? error.message : String(error)}`;
      findings.push({ check, verdict: 'note', says });
    }
  }
  return findings;
}
