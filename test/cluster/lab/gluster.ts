/** The replicated GlusterFS volume that holds the files: a brick on each node. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeFailure, type Ended } from '../../helpers/process.js';
import { until } from '../../helpers/until.js';
import { ADDRESSES, NODES, VOLUME, VOLUME_OPTIONS } from './configuration.js';
import type { ClusterNode } from './node.js';
import { FILE_SIZE, type SharedStorage } from './shared-storage.js';

/** A hang limit, milliseconds. */
const LIMIT = 150_000;

export class Gluster implements SharedStorage {
  constructor(
    readonly nodes: ReadonlyMap<string, ClusterNode>,
    /** Where bricks are. */
    readonly disks: string,
  ) {}

  /** Some node that is on. */
  get #any(): ClusterNode {
    const node = [...this.nodes.values()].find(({ isOn }) => isOn);
    if (node === undefined) throw new Error('no node is on');
    return node;
  }

  startServer(node: ClusterNode): Promise<void> {
    return node.background('glusterd', 'glusterd', ['-N', '--log-level', 'INFO']);
  }

  async answers(node: ClusterNode): Promise<void> {
    const ask = async () => ((await node.run('gluster', ['pool', 'list'])).status === 0 ? true : undefined);
    await until(`glusterd of ${node.name} answers`, ask, LIMIT);
  }

  /** The pool, the volume with its options, and the files. */
  async create(files: readonly string[]): Promise<void> {
    const nodes = [...this.nodes.values()];
    await Promise.all(nodes.map((node) => this.answers(node)));
    const [first, ...others] = nodes;
    if (first === undefined) throw new Error('a volume wants nodes');
    for (const { parts } of others) await this.#gluster('peer', 'probe', parts.address);
    await until(
      'the pool is connected',
      async () => {
        const { stdout } = await first.run('gluster', ['peer', 'status']);
        return stdout.match(/Peer in Cluster \(Connected\)/g)?.length === others.length ? true : undefined;
      },
      LIMIT,
    );
    const bricks = NODES.map((name) => `${ADDRESSES[name]}:${join(this.disks, name, 'brick')}`);
    await this.#gluster('volume', 'create', VOLUME, 'replica', '3', ...bricks, 'force');
    await this.#gluster('volume', 'set', VOLUME, 'group', 'gluster-block');
    await this.set(VOLUME_OPTIONS);
    await this.#gluster('volume', 'start', VOLUME);
    await this.isWhole();
    const names = files.map((file) => `'${file}'`).join(' ');
    await first.runOk('sh', [
      '-c',
      `mount -t glusterfs localhost:/${VOLUME} /mnt/images && truncate -s ${FILE_SIZE} ${names}; umount /mnt/images`,
    ]);
  }

  async set(options: Readonly<Record<string, string>>): Promise<void> {
    await this.#gluster('volume', 'set', VOLUME, ...Object.entries(options).flat());
  }

  /** Every brick has what the others have. Under writes that can't be told: a brick is marked as behind while it is written. */
  async healed(): Promise<void> {
    let said = '';
    await until(
      'the bricks are healed',
      async () => {
        const { status, stdout, stderr } = await this.#any.run('gluster', ['volume', 'heal', VOLUME, 'info']);
        said = stdout + stderr;
        const counts = [...stdout.matchAll(/Number of entries: (\S+)/g)].map(([, count]) => count);
        return status === 0 && counts.length === NODES.length && counts.every((count) => count === '0')
          ? true
          : undefined;
      },
      LIMIT,
    ).catch((cause: Error) => {
      throw new Error(`${cause.message}\n${said}`, { cause });
    });
  }

  /** What the mount of a node says of each of its bricks. */
  async hasAllBricks(node: ClusterNode): Promise<boolean> {
    const { stdout } = await node.sh('cat /mnt/images/.meta/graphs/active/*-client-*/private');
    return stdout.match(/^connected = 1$/gm)?.length === NODES.length;
  }

  /** All that a node has open is open on every brick: the daemon opens anew what is not (driver/renewals.ts). */
  async #hasAllDescriptors(node: ClusterNode): Promise<boolean> {
    const { stdout } = await node.sh(
      `for brick in /mnt/images/.meta/graphs/active/*-client-*/private; do grep -c 'remote_fd = [0-9]' $brick; done`,
    );
    return new Set(stdout.trim().split('\n')).size === 1;
  }

  /**
   * Every mount has every brick, for all it has open: one that has just come back is not written to before. Whoever fails in these
   * seconds is a second failure beside the first, and what it had acknowledged may be on one brick alone, which nothing tells from
   * an older one.
   */
  async reached(): Promise<void> {
    for (const node of this.nodes.values()) {
      await until(
        `${node.name} reaches all bricks`,
        async () => ((await this.hasAllBricks(node)) && (await this.#hasAllDescriptors(node))) || undefined,
        LIMIT,
      );
    }
  }

  /** Kills the brick of a node. */
  async killBrick(node: ClusterNode): Promise<void> {
    await node.sh('pkill -KILL -x glusterfsd');
  }

  /** Starts the bricks that are down. */
  async startBricks(): Promise<void> {
    await this.#gluster('volume', 'start', VOLUME, 'force');
    await this.isWhole();
  }

  /** All bricks are up. */
  async isWhole(): Promise<void> {
    await until(
      'all bricks are up',
      async () => {
        const { stdout } = await this.#any.run('gluster', ['volume', 'status', VOLUME, '--xml']);
        const up = stdout.split('<node>').filter((one) => /brick<\/path>[\s\S]*<status>1</.test(one));
        return up.length === NODES.length ? true : undefined;
      },
      LIMIT,
    );
  }

  /** A glusterd that has just seen another come or go may let a command time out. */
  async #gluster(...words: string[]): Promise<void> {
    const ask = () => this.#any.run('gluster', ['--mode=script', ...words], LIMIT);
    const mayPass = ({ status, stdout, stderr }: Ended): boolean =>
      status !== 0 && /timed out|in progress/.test(stdout + stderr);
    let ended = await ask();
    for (let again = 0; again < 20 && mayPass(ended); again++) {
      await sleep(3000);
      ended = await ask();
    }
    if (ended.status !== 0) throw new Error(describeFailure('gluster', words, ended));
  }
}
