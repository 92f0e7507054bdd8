/** Attaches with the stock nbd-client, which connects to our own listener like any other client. */

import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import { seeDoctor } from '../see-doctor.js';
import type { Attacher, AttachTarget, Endpoint, Obstacle } from './attach.js';
import { lastLine, runCommand } from './command.js';
import { moduleObstacle } from './module.js';
import { type KernelLink, KernelRefusal } from './netlink/kernel-link.js';
import { isConnected, nodePath } from './sysfs.js';

const PROGRAM = 'nbd-client';
/** nbd-client is killed after this, milliseconds. */
const PROGRAM_TIMEOUT_MS = 30_000;
/** How long the kernel may take to let go after a disconnect, milliseconds. */
const RELEASE_TIMEOUT_MS = 500;

export class NbdClientAttacher implements Attacher {
  readonly method = 'nbd-client';

  /** `endpoint` is where nbd-client finds this daemon; undefined when it listens nowhere. */
  constructor(
    readonly endpoint: () => Endpoint | undefined,
    readonly link: KernelLink,
  ) {}

  async obstacle(): Promise<Obstacle | null> {
    if (process.geteuid?.() !== 0)
      return {
        errno: 'EPERM',
        message: `attaching to the kernel needs a daemon that runs as root ${seeDoctor('rights')}`,
      };
    if (this.endpoint() === undefined) {
      return {
        errno: 'EOPNOTSUPP',
        message: 'nbd-client has nothing to connect to: this daemon listens nowhere',
      };
    }
    if (!(await isInstalled(PROGRAM))) {
      return { errno: 'ENOENT', message: 'attaching needs nbd-client, which is not installed' };
    }
    return moduleObstacle();
  }

  async attach(target: AttachTarget): Promise<void> {
    const obstacle = await this.obstacle();
    if (obstacle !== null) throw new LoopError(obstacle.errno, `${target.exportName}: ${obstacle.message}`);
    if (target.connections !== 1) {
      throw new LoopError(
        'EINVAL',
        `${target.exportName}: nbd-client knows one connection only, not ${target.connections}`,
      );
    }
    const endpoint = this.endpoint();
    if (endpoint === undefined) return;
    const node = nodePath(target.device);
    const where = 'unix' in endpoint ? ['-u', endpoint.unix] : [endpoint.host, String(endpoint.port)];
    const parameters = [
      '-N',
      target.exportName,
      '-b',
      String(target.blockSize),
      '-t',
      String(target.isLimited ? 0 : target.timeout),
    ];
    const { status, output } = await runCommand(PROGRAM, [...where, node, ...parameters], PROGRAM_TIMEOUT_MS);
    if (status !== 0 || !isConnected(target.device)) {
      throw new LoopError(
        'EIO',
        `${target.exportName}: nbd-client did not attach ${node}: ${lastLine(output)}`,
      );
    }
  }

  /** nbd-client has gone with the connection: nobody can give the kernel a new one. */
  async resume(): Promise<boolean> {
    return false;
  }

  /** The timeout that it was attached with counts for what waits, too. */
  async limited(): Promise<void> {}

  abandon(): void {}

  hold(): boolean {
    return false;
  }

  async part(): Promise<[]> {
    return [];
  }

  async disconnect(device: number): Promise<void> {
    const node = nodePath(device);
    const { status, output } = await runCommand(PROGRAM, ['-d', node], PROGRAM_TIMEOUT_MS);
    if (status !== 0)
      throw new LoopError('EIO', `${node}: nbd-client did not detach it: ${lastLine(output)}`);
    // It may stay for those who have it open.
    const deadline = Date.now() + RELEASE_TIMEOUT_MS;
    while (isConnected(device) && Date.now() < deadline) await sleep(5);
  }

  forget(): void {}

  /** The size that a client negotiated stays. */
  async resize(): Promise<boolean> {
    return false;
  }

  /** nbd-client sets devices up by netlink where it can, and those can be changed. */
  async disconnectOnClose(device: number, on: boolean): Promise<boolean> {
    try {
      await this.link.reconfigure({ index: device, disconnectOnClose: on });
      return true;
    } catch (error) {
      if (!(error instanceof KernelRefusal)) throw error;
      return false;
    }
  }
}

async function isInstalled(program: string): Promise<boolean> {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  for (const directory of directories) {
    if (
      await access(join(directory, program)).then(
        () => true,
        () => false,
      )
    )
      return true;
  }
  return false;
}
