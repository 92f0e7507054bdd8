/**
 * A daemon that is cut off with a write in its socket, and goes on when another node has served the file for long: as if fencing
 * had said that the node is off while it is not. What holds then is the file system's refusal of what comes over a lost lock
 * (`client.strict-locks`); the daemon itself, with `--cluster`, finds out within seconds. Without either nothing holds: the negative
 * control, in which the write must be found to have come back.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../helpers/until.js';
import { RECORD } from '../client/record.js';
import { type Testimony, Witness } from '../client/witness.js';
import { FIRST_PORT, FLOATING, fileOf } from '../lab/configuration.js';
import type { Lab } from '../lab/lab.js';
import type { ClusterNode } from '../lab/node.js';

/** The header of a WRITE, and its data. */
const WRITE_BYTES = 28 + RECORD;
/** Each client has asked within so long, milliseconds. */
const ASKED_MS = 300;
/** Mounts hear of an option within so long, milliseconds. */
const TAKEN_MS = 3000;
/** What the zombie has taken out of its socket is on the bricks, or refused, within so long, milliseconds. */
const HAUNT_MS = 4000;

/** Processes of a node by whether they belong to its storage, which stays awake: it is the daemon that sleeps. */
function sleepers(node: ClusterNode): number[] {
  return node.parts.group.processes().filter((pid) => {
    const name = commandOf(pid);
    return name !== undefined && !name.startsWith('gluster');
  });
}

function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1').trim();
  } catch {
    return undefined;
  }
}

function isDaemon(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('nbdloopd.js');
  } catch {
    return false;
  }
}

/** A process may be gone by now. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export interface ZombieReport extends Testimony {
  /** Of the zombie's log. */
  readonly lastWords: string;
}

/** Bytes that wait in the sockets of a device's sessions on a node, for a program to read them. */
async function unread(node: ClusterNode): Promise<number> {
  const table = await node.runOk('cat', ['/proc/net/tcp']);
  return table.split('\n').reduce((sum, line) => {
    const [, local = '', , state, queues = ''] = line.trim().split(/\s+/);
    const isSession = local.endsWith(`:${FIRST_PORT.toString(16).toUpperCase()}`) && state !== LISTENING;
    return isSession ? sum + Number.parseInt(queues.split(':')[1] ?? '0', 16) : sum;
  }, 0);
}
const LISTENING = '0A';

/** Its daemon is stopped; if no whole write waits for it then, it goes on. */
async function sleepsOverWrite(node: ClusterNode): Promise<true | undefined> {
  const daemons = sleepers(node).filter(isDaemon);
  for (const pid of daemons) signal(pid, 'SIGSTOP');
  await sleep(ASKED_MS);
  if ((await unread(node)) >= WRITE_BYTES) return true;
  for (const pid of daemons) signal(pid, 'SIGCONT');
  await sleep(ASKED_MS);
  return undefined;
}

const movedFrom = (active: ClusterNode, lab: Lab): Promise<ClusterNode> =>
  until('another node serves', async () => {
    const other = [...lab.nodes.values()].find((node) => node !== active && node.isOn);
    const now = other && (await lab.active(undefined, other).catch(() => undefined));
    return now !== active ? now : undefined;
  });

/** What is there to stop it. Of `the daemon` alone it is luck: it may look at its lock before it writes, or after. */
export type Guard = 'nothing' | 'the daemon' | 'both';

/** Leaves `client.strict-locks` as the guard has it. */
export async function zombie(lab: Lab, guard: Guard, seed: number): Promise<ZombieReport> {
  await lab.settled();
  lab.installPrograms(guard === 'nothing' ? { '--cluster': '--insecure' } : {});
  await lab.gluster.set({ 'client.strict-locks': guard === 'both' ? 'on' : 'off' });
  // The clients of the volume take the option now; descriptors do when they are opened.
  await sleep(TAKEN_MS);
  await lab.any.runOk('crm_resource', ['--restart', '-r', lab.devices[0] ?? '', '-T', '60s'], 90_000);
  const active = await lab.settled();
  await using witness = await Witness.start(lab, seed);
  lab.power.mode = 'lies';
  try {
    await until('a daemon sleeps that has a write to read', () => sleepsOverWrite(active));
    for (const pid of sleepers(active)) signal(pid, 'SIGSTOP');
    const asked = witness.pending();
    await lab.network.unplug(active.name);
    const other = await movedFrom(active, lab);
    await witness.goesOn();
    await witness.overwrites(asked);
    await active.run('ip', ['addr', 'del', `${FLOATING}/24`, 'dev', 'eth0']);
    await lab.network.plug(active.name);
    await until('the zombie has its bricks again', async () =>
      (await lab.gluster.hasAllBricks(active)) ? true : undefined,
    );
    // What the clients write would hide what it writes.
    await witness.kill();
    if ((await unread(active)) < WRITE_BYTES)
      throw new Error('the zombie has nothing to write: it shows nothing');
    for (const pid of sleepers(active).filter(isDaemon)) signal(pid, 'SIGCONT');
    await until('the zombie has read what it was asked', async () =>
      (await unread(active)) === 0 ? true : undefined,
    );
    await sleep(HAUNT_MS);
    const { stdout: lastWords } = await active.sh(`tail -n 6 /var/log/nbdloop-cluster-${lab.devices[0]}.log`);
    // What is on the bricks is asked for, and not what the page cache of the other node has.
    await other.runOk('dd', [`if=${fileOf(lab.devices[0] ?? '')}`, 'iflag=nocache', 'count=0']);
    return { ...(await witness.readAgain()), lastWords };
  } finally {
    lab.installPrograms();
    lab.power.mode = 'works';
    await active.powerOff();
  }
}
