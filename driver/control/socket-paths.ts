/** Which Unix sockets a daemon serves, and which of them it makes itself. */

import { mkdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { LoopError } from '../errno.js';
import { seeDoctor } from '../see-doctor.js';
import { CONTROL_SOCKET, defaultRunDirectory, NBD_SOCKET } from './run-directory.js';

/** Absent: in the run directory; null: none. */
export interface WantedPaths {
  readonly stateDir?: string;
  readonly unix?: string | null;
  readonly control?: string | null;
  /** Sockets that a service manager made. */
  readonly activated?: readonly { readonly address: { readonly unix?: string } | object }[];
}

/** Absolute paths. */
export interface SocketPaths {
  readonly control: string | null;
  /** The NBD socket to name first. */
  readonly unix: string | null;
  /** Those that we make, and claim before. */
  readonly ours: readonly string[];
  /** Directory of the state for a restart; null without a control socket to put it beside. */
  readonly state: string | null;
}

/** Directories that are missing are made, for their owner alone. */
export async function socketPaths(wanted: WantedPaths): Promise<SocketPaths> {
  const control = await placeOf(wanted.control, CONTROL_SOCKET);
  const activated = activatedPath(wanted);
  const unix = activated ?? (await placeOf(wanted.unix, NBD_SOCKET));
  const made = [control, activated === undefined ? unix : null];
  const ours = [...new Set(made.filter((path) => path !== null))];
  const beside = control === null ? null : control.replace(/(\.sock)?$/, '.state');
  return { control, unix, ours, state: wanted.stateDir === undefined ? beside : resolve(wanted.stateDir) };
}

/** A Unix socket of the service manager's takes the place of the default one, or of one at its own path. */
function activatedPath({ unix, activated = [] }: WantedPaths): string | undefined {
  const paths = activated.map(({ address }) => ('unix' in address ? address.unix : undefined));
  return paths.find((path) => path !== undefined && (unix === undefined || path === unix));
}

async function placeOf(path: string | null | undefined, name: string): Promise<string | null> {
  if (path === null) return null;
  if (path === undefined) {
    const directory = defaultRunDirectory();
    await ownDirectory(directory);
    return join(directory, name);
  }
  await mkdir(dirname(resolve(path)), { recursive: true, mode: 0o700 });
  return resolve(path);
}

/** In a directory that somebody else made, somebody else could put another daemon's sockets. */
async function ownDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const { uid, mode } = await stat(directory);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new LoopError(
      'EPERM',
      `${directory} is not ours alone; name other places with --unix and --control ${seeDoctor('run directory')}`,
    );
  }
}
