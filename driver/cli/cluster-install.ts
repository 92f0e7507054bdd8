/** nbdloop cluster install: the resource agent goes where Pacemaker looks for it. */

import { chmodSync, copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CliError, errnoOf, reasonOf } from './fail.js';

const AGENT = join('packaging', 'cluster', 'device');

/** Beside the programs, however deep these lie in the package. */
function agentFile(): string {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const file = join(directory, AGENT);
    if (existsSync(file)) return file;
    if (dirname(directory) === directory) throw new CliError('ENOENT', `${AGENT} is not in this package`);
  }
}

/** Returns where it is now: `ROOT/resource.d/nbdloop/device`. */
export function installAgent(root: string): string {
  const directory = join(root, 'resource.d', 'nbdloop');
  const target = join(directory, 'device');
  try {
    mkdirSync(directory, { recursive: true });
    // Whole or not at all: a cluster may be about to run it.
    copyFileSync(agentFile(), `${target}.new`);
    chmodSync(`${target}.new`, 0o755);
    renameSync(`${target}.new`, target);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(errnoOf(error) ?? 'EIO', `${target} cannot be written: ${reasonOf(error)}`);
  }
  return target;
}
