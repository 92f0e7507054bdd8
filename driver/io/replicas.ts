/**
 * Whether what this host has open on a file system of several hosts is open on all of them.
 *
 * GlusterFS does not open a descriptor on a brick that was away at that time, or was away since (while it held a lock), when
 * the brick comes back; each brick that goes then takes a part of the descriptor's quorum for good. The mount tells what is
 * open where, in its directory `.meta`: of the clients of one replicated subvolume each has as many descriptors.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FileLane, mountPointsIn } from './file-lanes.js';

const MOUNTINFO = '/proc/self/mountinfo';
const TYPE = ' - fuse.glusterfs ';
/** Translators that keep a file on several bricks. */
const REPLICATING: ReadonlySet<string> = new Set(['cluster/replicate', 'cluster/disperse']);
const CLIENT = 'protocol/client';

/** Where GlusterFS is mounted. */
export async function glusterMounts(): Promise<string[]> {
  const table = await readFile(MOUNTINFO, 'utf8').catch(() => '');
  return mountPointsIn(
    table
      .split('\n')
      .filter((line) => line.includes(TYPE))
      .join('\n'),
  );
}

/**
 * How many descriptors are not open on a brick that is there, of all that this host has on the mount; undefined where the
 * mount does not tell. May wait for the file system, in its turn.
 */
export async function descriptorsMissing(mount: string): Promise<number | undefined> {
  try {
    return await FileLane.of(mount).run(() => missingIn(join(mount, '.meta', 'graphs', 'active')));
  } catch {
    return undefined;
  }
}

async function missingIn(graph: string): Promise<number> {
  let missing = 0;
  for (const name of await readdir(graph)) {
    if (!REPLICATING.has(await typeOf(join(graph, name)))) continue;
    missing += missingOf(await clientsOf(join(graph, name)));
  }
  return missing;
}

const typeOf = async (translator: string): Promise<string> =>
  (await readFile(join(translator, 'type'), 'latin1').catch(() => '')).trim();

/** What each client below says of itself. */
async function clientsOf(translator: string): Promise<string[]> {
  const below = join(translator, 'subvolumes');
  const states: string[] = [];
  for (const link of await readdir(below)) {
    const client = join(below, link);
    if ((await typeOf(client)) === CLIENT) states.push(await readFile(join(client, 'private'), 'latin1'));
  }
  return states;
}

/** Descriptors that some of the clients that are connected have, and another one of them has not. */
export function missingOf(clients: readonly string[]): number {
  const counts = clients
    .filter((state) => /^connected = 1$/m.test(state))
    .map((state) => (state.match(/^fd\.\d+\.remote_fd = \d+$/gm) ?? []).length);
  const most = Math.max(0, ...counts);
  return counts.reduce((sum, count) => sum + most - count, 0);
}
