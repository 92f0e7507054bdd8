/**
 * A daemon that is cut off with a write in its socket, and goes on when another node has served the file for long: as if fencing
 * had said that the node is off while it is not. What holds then is the file system's refusal of a lost lock, and with
 * `client.strict-locks off` nothing: the negative control, in which the write must be found to have come back.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../helpers/until.js';
import { type Testimony, Witness } from '../client/witness.js';
import { FLOATING } from '../lab/configuration.js';
import type { Lab } from '../lab/lab.js';
import type { ClusterNode } from '../lab/node.js';

/** A server that was cut off is connected to again within so long, milliseconds: its client tries every 3 s. */
const RECONNECT_MS = 25_000;
/** Mounts hear of an option within so long, milliseconds. */
const TAKEN_MS = 3000;
/** What the zombie has in its socket is done within so long, milliseconds. */
const HAUNT_MS = 10_000;

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

/** Leaves the option as it was told. */
export async function zombie(lab: Lab, strictLocks: 'on' | 'off', seed: number): Promise<ZombieReport> {
  await lab.settled();
  if (strictLocks === 'off') await lab.storage.set({ 'client.strict-locks': 'off' });
  // The clients of the volume take the option now; descriptors do when they are opened.
  await sleep(TAKEN_MS);
  await lab.any.runOk('crm_resource', ['--restart', '-r', lab.devices[0] ?? '', '-T', '60s'], 90_000);
  const active = await lab.settled();
  await using witness = await Witness.start(lab, seed);
  lab.power.mode = 'lies';
  try {
    for (const pid of sleepers(active)) signal(pid, 'SIGSTOP');
    // Each writer's next write is in the socket of a daemon that sleeps.
    await sleep(500);
    await lab.network.unplug(active.name);
    await until('another node serves', async () => {
      const other = [...lab.nodes.values()].find((node) => node !== active && node.isOn);
      const now = other && (await lab.active(undefined, other).catch(() => undefined));
      return now !== undefined && now !== active ? now : undefined;
    });
    await witness.goesOn();
    await sleep(2000);
    await active.run('ip', ['addr', 'del', `${FLOATING}/24`, 'dev', 'eth0']);
    await lab.network.plug(active.name);
    await sleep(RECONNECT_MS);
    // The clients rest meanwhile: what they write would hide what it writes.
    witness.process.signal('SIGSTOP');
    for (const pid of sleepers(active).filter(isDaemon)) signal(pid, 'SIGCONT');
    await sleep(HAUNT_MS);
    const { stdout: lastWords } = await active.sh(`tail -n 6 /var/log/nbdloop-cluster-${lab.devices[0]}.log`);
    witness.process.signal('SIGCONT');
    return { ...(await witness.stop()), lastWords };
  } finally {
    lab.power.mode = 'works';
    await active.powerOff();
  }
}
