/**
 * What can go wrong with the node that serves, and with those beside it. Each fault returns when the clients have had what
 * it does to them; what it leaves (nodes that were fenced) is mended by `Lab.settled`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../helpers/random.js';
import { until } from '../../helpers/until.js';
import type { Lab } from '../lab/lab.js';
import type { ClusterNode } from '../lab/node.js';

export interface Scene {
  readonly lab: Lab;
  /** The node that serves. */
  readonly active: ClusterNode;
  readonly others: readonly ClusterNode[];
  readonly random: Random;
}

export type Fault = (scene: Scene) => Promise<void>;

/** Fenced by the others; a hang limit, milliseconds. */
const FENCED_MS = 60_000;
/** Over this a frozen member is missed: token 1 s and consensus 1.2 s. */
const MISSED_MS = 600;
/** A brick that was down for seconds catches up within one. */
const CATCH_UP_MS = 3000;

const fenced = (node: ClusterNode): Promise<true> =>
  until(`${node.name} is fenced`, async () => (node.isOn ? undefined : true), FENCED_MS);

/** Another node serves. */
const movedFrom = (node: ClusterNode, { lab, others }: Scene): Promise<ClusterNode> =>
  until('another node serves', async () => {
    const from = others.find(({ isOn }) => isOn);
    const now = from && (await lab.active(undefined, from).catch(() => undefined));
    return now !== undefined && now !== node ? now : undefined;
  });

/** The daemon of the first device gets a signal. */
async function signalDaemon({ lab, active }: Scene, signal: string): Promise<number> {
  const pid = await lab.daemonOn(active);
  if (pid === undefined) throw new Error(`no daemon on ${active.name}`);
  await active.runOk('kill', [`-${signal}`, String(pid)]);
  return pid;
}

/** Kills a brick for some seconds, then has it back, and gives it some to catch up. */
async function restartBrick({ lab, random }: Scene, node: ClusterNode): Promise<void> {
  await lab.gluster.killBrick(node);
  await sleep(random.below(3000));
  await lab.gluster.startBricks();
  await sleep(CATCH_UP_MS);
}

async function moveAway(scene: Scene): Promise<void> {
  const { active, others, random } = scene;
  await active.runOk('crm_resource', ['-r', 'vip', '--move', '-N', random.pick(others).name]);
  await movedFrom(active, scene);
  await active.runOk('crm_resource', ['-r', 'vip', '--clear']);
}

export const FAULTS = {
  'planned move': moveAway,

  'daemon killed': async (scene) => {
    const { lab, active } = scene;
    const before = await signalDaemon(scene, 'KILL');
    // On the same node, or, after many failures there, on another.
    await until('a new daemon is there', async () => {
      const nodes = [...lab.nodes.values()].filter(({ isOn }) => isOn);
      const pids = await Promise.all(nodes.map(async (node) => ({ node, pid: await lab.daemonOn(node) })));
      const isNew = pids.some(({ node, pid }) => pid !== undefined && !(node === active && pid === before));
      return isNew ? true : undefined;
    });
  },

  'power-off': async (scene) => {
    await scene.active.powerOff();
    await movedFrom(scene.active, scene);
  },

  'power-off of another node': async ({ others, random }) => {
    await random.pick(others).powerOff();
    await sleep(8000);
  },

  'cable out': async (scene) => {
    await scene.lab.network.unplug(scene.active.name);
    await fenced(scene.active);
    await movedFrom(scene.active, scene);
  },

  'one-way cut': async (scene) => {
    await scene.active.dropInput();
    await fenced(scene.active);
    await movedFrom(scene.active, scene);
  },

  'daemon stopped for 40 s': async (scene) => {
    const pid = await signalDaemon(scene, 'STOP');
    await sleep(40_000);
    // Pacemaker has killed it by now: this is for one that it has not.
    if (scene.active.isOn) await scene.active.run('kill', ['-CONT', String(pid)]);
    await sleep(2000);
  },

  'daemon stopped for a moment': async (scene) => {
    const pid = await signalDaemon(scene, 'STOP');
    await sleep(500 + scene.random.below(3000));
    await scene.active.run('kill', ['-CONT', String(pid)]);
    await sleep(2000);
  },

  'node frozen': async (scene) => {
    await scene.active.parts.group.freeze();
    await fenced(scene.active);
    await movedFrom(scene.active, scene);
  },

  'node frozen for a moment': async ({ active, random }) => {
    await active.parts.group.freeze();
    await sleep(random.below(MISSED_MS));
    active.parts.group.thaw();
    await sleep(4000);
  },

  'corosync killed': async (scene) => {
    await scene.active.sh('pkill -KILL -x corosync');
    await fenced(scene.active);
    await movedFrom(scene.active, scene);
  },

  'brick killed': async (scene) => restartBrick(scene, scene.random.pick([scene.active, ...scene.others])),

  'two bricks, one after the other': async (scene) => {
    const [first, second] = [...scene.others, scene.active];
    for (const node of [first, second]) if (node !== undefined) await restartBrick(scene, node);
  },

  'rolling restart of all bricks': async (scene) => {
    for (const node of scene.lab.nodes.values()) await restartBrick(scene, node);
  },

  /** Nothing may move while the node may still write. */
  'fence agent broken': async (scene) => {
    const { lab, active, others } = scene;
    lab.power.mode = 'broken';
    try {
      await lab.network.unplug(active.name);
      await sleep(12_000);
      const elsewhere = await Promise.all(others.map((node) => lab.daemonOn(node)));
      if (elsewhere.some((pid) => pid !== undefined))
        throw new Error('served elsewhere, and the node was not fenced');
    } finally {
      lab.power.mode = 'works';
    }
    await fenced(active);
    await movedFrom(active, scene);
  },

  'daemon upgraded': async ({ active, lab }) => {
    await active.runOk('crm_resource', ['--restart', '-r', lab.devices[0] ?? '', '-T', '60s'], 90_000);
  },
} as const satisfies Record<string, Fault>;

export type FaultName = keyof typeof FAULTS;
export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];
