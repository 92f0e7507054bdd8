/**
 * Three nodes on this machine, with Corosync, Pacemaker and a replicated GlusterFS volume, that serve files at a floating
 * address with ocf:nbdloop:device and programs of the tree under test. Everything lies in a temporary directory, and runs in a
 * control group of its own, by which it is ended however the tests end.
 */
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run, runOk } from '../../helpers/process.js';
import { TempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';
import { Cgroup, cgroupRoot } from './cgroup.js';
import {
  ADDRESSES,
  COROSYNC,
  cib,
  deviceName,
  fileOf,
  NODES,
  type NodeName,
  VOLUME,
} from './configuration.js';
import { Gluster } from './gluster.js';
import { Network } from './network.js';
import { ClusterNode } from './node.js';
import { PowerSwitch } from './power-switch.js';
import { SharedDirectory } from './shared-directory.js';
import type { SharedStorage } from './shared-storage.js';

/** A hang limit, milliseconds: a machine that is loaded takes its time. */
const LIMIT = 150_000;
/** As much more for every device. */
const LIMIT_EACH = 20_000;

const PACEMAKER_ENVIRONMENT = {
  PCMK_logfile: '/var/log/pacemaker/pacemaker.log',
  PCMK_logfacility: 'none',
  PCMK_stderr: '0',
  PCMK_node_start_state: 'default',
  PCMK_fail_fast: 'no',
  PCMK_panic_action: 'off',
  HA_cluster_type: 'corosync',
};

export type StorageKind = 'gluster' | 'directory';

export interface LabOptions {
  /** One unless told. */
  readonly devices?: number;
  /** What the files lie on: a replicated volume unless told. */
  readonly storage?: StorageKind;
  readonly progress?: (text: string) => void;
}

export class Lab implements AsyncDisposable {
  readonly devices: readonly string[];

  private constructor(
    readonly directory: TempDir,
    readonly group: Cgroup,
    readonly network: Network,
    readonly nodes: ReadonlyMap<string, ClusterNode>,
    readonly power: PowerSwitch,
    readonly storage: SharedStorage,
    readonly guardian: () => void,
    readonly options: LabOptions,
  ) {
    this.devices = Array.from({ length: options.devices ?? 1 }, (_, index) => deviceName(index));
  }

  /** From nothing to devices that are served. */
  static async start(options: LabOptions = {}): Promise<Lab> {
    const root = cgroupRoot();
    if (root === undefined) throw new Error('cgroup v2 is not mounted');
    const directory = new TempDir();
    const group = new Cgroup(join(root, `nbdloop-cluster-${process.pid}`));
    const guardian = watchOver(group);
    try {
      await layOut(directory, options);
      const network = await Network.start(group.child('network'));
      const nodes = new Map(NODES.map((name) => [name, makeNode(name, directory, group, network)] as const));
      const power = new PowerSwitch(directory.file('power'), nodes);
      const storage =
        options.storage === 'directory'
          ? new SharedDirectory(directory.file('shared'))
          : new Gluster(nodes, directory.file('disk'));
      const lab = new Lab(directory, group, network, nodes, power, storage, guardian, options);
      await lab.#begin();
      return lab;
    } catch (error) {
      await group.remove();
      guardian();
      directory[Symbol.dispose]();
      throw error;
    }
  }

  node(name: string): ClusterNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`there is no node ${name}`);
    return node;
  }

  /** The volume; throws where there is none. */
  get gluster(): Gluster {
    if (this.storage instanceof Gluster) return this.storage;
    throw new Error('this lab has no GlusterFS');
  }

  /** Some node that is on. */
  get any(): ClusterNode {
    const node = [...this.nodes.values()].find(({ isOn }) => isOn);
    if (node === undefined) throw new Error('no node is on');
    return node;
  }

  /** Node that Pacemaker has a device on, seen from a node that is on; undefined when on none. */
  async active(device = deviceName(0), from = this.any): Promise<ClusterNode | undefined> {
    const { stdout } = await from.run('crm_resource', ['-r', device, '-W']);
    const name = /running on: (\w+)/.exec(stdout)?.[1];
    return name === undefined ? undefined : this.node(name);
  }

  /** The node that serves, once everything is well, with what the storage holds. Nobody writes meanwhile. */
  async settled(): Promise<ClusterNode> {
    const active = await this.whole();
    await this.storage.reached();
    await this.storage.healed();
    return active;
  }

  /** The node that serves, once all nodes are on and members, all storage up and all devices served. */
  async whole(): Promise<ClusterNode> {
    await this.#rejoin();
    await this.storage.isWhole();
    return until(
      'every device is served',
      async () => {
        const { stdout } = await this.any.run('crm_mon', ['-1']);
        const isUp = stdout.includes('Online: [ a b c ]') && stdout.includes('Started: [ a b c ]');
        const started = this.devices.every((name) =>
          new RegExp(`\\* ${name}\\s.*Started \\w+\\s*$`, 'm').test(stdout),
        );
        const power = /power\s.*Started \w+\s*$/m.test(stdout);
        return isUp && started && power ? await this.active() : undefined;
      },
      LIMIT + this.devices.length * LIMIT_EACH,
    );
  }

  /** What the cluster and the daemons say of themselves, for who has to find out why. */
  async state(): Promise<string> {
    const nodes = [...this.nodes.values()].filter(({ isOn }) => isOn);
    const said = await Promise.all(
      nodes.map((node) => node.sh(`echo '${node.name}:'; tail -n 5 /var/log/nbdloop-cluster-*.log`)),
    );
    const cluster = await this.any.run('crm_mon', ['-1rf']);
    return [cluster, ...said].map(({ stdout }) => stdout).join('\n');
  }

  /** What a daemon that starts is told from here on, by what the agent tells it. */
  installPrograms(words: Readonly<Record<string, string>> = {}): void {
    installPrograms(this.directory, words);
  }

  /** Copies what the cluster, the storage and the daemons have logged into a directory. */
  async keepLogs(directory: string): Promise<void> {
    for (const node of [...this.nodes.values()].filter(({ isOn }) => isOn)) {
      const place = join(directory, node.name);
      mkdirSync(place, { recursive: true });
      await node.sh(`cp -r /var/log/. '${place}'; ps axww -o pid,stat,wchan:20,args >'${place}/processes'
        gluster volume heal ${VOLUME} info >'${place}/heal' 2>&1; gluster volume status ${VOLUME} >'${place}/volume' 2>&1
        cat /mnt/images/.meta/graphs/active/*-client-*/private >'${place}/clients' 2>&1`);
    }
  }

  /** The daemon's process number as the node counts, of a device there; undefined when there is none. */
  async daemonOn(node: ClusterNode, device = deviceName(0)): Promise<number | undefined> {
    const { stdout } = await node.run('cat', [`/run/nbdloop-cluster/${device}/pid`]);
    const pid = Number(stdout.split(' ')[0]);
    return pid > 0 ? pid : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.power[Symbol.dispose]();
    for (const node of this.nodes.values()) await node.powerOff();
    await this.network[Symbol.asyncDispose]();
    await this.group.remove();
    this.guardian();
    this.directory[Symbol.dispose]();
  }

  async #begin(): Promise<void> {
    const nodes = [...this.nodes.values()];
    await Promise.all(nodes.map((node) => node.powerOn()));
    this.#say('nodes are on');
    await Promise.all(nodes.flatMap((node) => [this.storage.startServer(node), startCorosync(node)]));
    await this.storage.create(this.devices.map(fileOf));
    this.#say('the files are there');
    await Promise.all(nodes.map(startPacemaker));
    await this.settled();
    this.#say('the cluster serves');
  }

  /** Nodes that are off are switched on. */
  async #rejoin(): Promise<void> {
    const off = [...this.nodes.values()].filter(({ isOn }) => !isOn);
    await Promise.all(
      off.map(async (node) => {
        await node.powerOn();
        await Promise.all([this.storage.startServer(node), startCorosync(node)]);
        await this.storage.answers(node);
        await startPacemaker(node);
      }),
    );
  }

  #say(text: string): void {
    this.options.progress?.(text);
  }
}

const makeNode = (name: NodeName, directory: TempDir, group: Cgroup, network: Network): ClusterNode =>
  new ClusterNode({
    name,
    address: ADDRESSES[name],
    group: group.child(name),
    network,
    directory: directory.path,
  });

const startCorosync = (node: ClusterNode): Promise<void> => node.background('corosync', 'corosync', ['-f']);

async function startPacemaker(node: ClusterNode): Promise<void> {
  await until(
    // All of them: one that is not there yet would be fenced.
    `corosync of ${node.name} sees every node`,
    async () =>
      (await node.sh(`corosync-quorumtool -s | grep -q 'Total votes: *${NODES.length}$'`)).status === 0
        ? true
        : undefined,
    LIMIT,
  );
  const environment = Object.entries(PACEMAKER_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
  await node.background('pacemaker', 'env', [...environment, 'pacemakerd']);
}

/** Those of the tree under test; words of the daemon are replaced. */
function installPrograms(
  directory: TempDir,
  words: Readonly<Record<string, string>> = {},
): [nbdloopd: string, nbdloop: string] {
  const install = (name: string, replaced: Readonly<Record<string, string>>): string => {
    const file = directory.file('bin', name);
    const cases = Object.entries(replaced).map(([from, to]) => `'${from}') word='${to}' ;;`);
    const replace = `for word; do shift; case $word in ${cases.join(' ')} esac; set -- "$@" "$word"; done`;
    const program = `exec '${process.execPath}' '${resolve('dist/bin', `${name}.js`)}' "$@"`;
    writeFileSync(`${file}.new`, `#!/bin/sh\n${cases.length === 0 ? '' : `${replace}\n`}${program}\n`);
    chmodSync(`${file}.new`, 0o755);
    renameSync(`${file}.new`, file);
    return file;
  };
  return [install('nbdloopd', words), install('nbdloop', {})];
}

/** Files that the nodes see. */
async function layOut(directory: TempDir, { devices = 1, storage = 'gluster' }: LabOptions): Promise<void> {
  chmodSync(directory.path, 0o755); // Pacemaker's daemons run as a user of their own
  for (const name of ['log', 'etc', 'sbin', 'bin', 'disk']) mkdirSync(directory.file(name));
  writeFileSync(directory.file('etc', 'corosync.conf'), COROSYNC);
  copyFileSync('test/cluster/lab/fence_lab', directory.file('sbin', 'fence_lab'));
  chmodSync(directory.file('sbin', 'fence_lab'), 0o755);
  const [nbdloopd, nbdloop] = installPrograms(directory);
  await runOk(nbdloop, ['cluster', 'install', '--root', directory.file('ocf')]);
  writeFileSync(
    directory.file('cib.xml'),
    cib({
      ...{ power: directory.file('power'), devices, nbdloopd, nbdloop },
      ...(storage === 'directory' ? { directory: directory.file('shared') } : {}),
    }),
  );
}

/** Kills the group when this process is gone, also by SIGKILL. Returns what calls it off. */
function watchOver(group: Cgroup): () => void {
  const child = spawn('sh', ['-c', 'cat >/dev/null; echo 1 >"$0/cgroup.kill"', group.path], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  child.unref();
  return () => child.kill('SIGKILL');
}

/** Whether this machine can run a node at all: tries it. Undefined when it can, else why not. */
export async function obstacle(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can make namespaces';
  if (cgroupRoot() === undefined) return 'cgroup v2 is not mounted';
  const { status, stderr } = await run('unshare', ['-n', '-m', '-u', '-i', '-p', '--fork', 'true']);
  return status === 0 ? undefined : stderr.trim();
}
