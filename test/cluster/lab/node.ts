/** A node of the cluster: namespaces for all that a machine has of its own, and a group that is its power switch. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Ended, type RunningProcess, run, runOk, start } from '../../helpers/process.js';
import { until } from '../../helpers/until.js';
import type { Cgroup } from './cgroup.js';
import { netNamespaceOf } from './namespaces.js';
import type { Network } from './network.js';

const INIT = resolve('test/cluster/lab/init.sh');
const NAMESPACES = ['-m', '-n', '-u', '-i', '-p'] as const;

export interface NodeParts {
  readonly name: string;
  readonly address: string;
  readonly group: Cgroup;
  readonly network: Network;
  /** Of the lab: what its disks hold, what its programs say. */
  readonly directory: string;
}

export class ClusterNode {
  /** Parent of the node's first process. */
  #parent: RunningProcess | undefined;
  #init = 0;

  constructor(readonly parts: NodeParts) {}

  get name(): string {
    return this.parts.name;
  }

  get isOn(): boolean {
    return this.parts.group.isPopulated;
  }

  async powerOn(): Promise<void> {
    const { name, address, group, network, directory } = this.parts;
    const words = [...NAMESPACES, '--fork', '--mount-proc', '/bin/bash', INIT, directory, name];
    const parent = start('sh', group.wrap('unshare', words));
    this.#parent = parent;
    const outside = netNamespaceOf(process.pid);
    this.#init = await until(`node ${name} has its first process`, async () => {
      if (parent.isOver) throw new Error(`node ${name}: ${parent.stderr}`);
      const [child] = childrenOf(parent.pid);
      return child !== undefined && netNamespaceOf(child) !== outside ? child : undefined;
    });
    await network.connect(name, this.#init, address);
    await until(`node ${name} is up`, async () => {
      if (parent.isOver) throw new Error(`node ${name}: ${parent.stderr}`);
      return (await this.run('test', ['-e', '/run/node-ready'])).status === 0 ? true : undefined;
    });
  }

  /** As a power cut: the cable goes first, so that nobody says good-bye. */
  async powerOff(): Promise<void> {
    await this.parts.network.unplug(this.name).catch(() => undefined);
    await this.parts.group.kill();
    await this.#parent?.[Symbol.asyncDispose]();
  }

  /** Runs a program there to its end, and with the node's. */
  run(program: string, args: readonly string[], timeoutMs = 60_000): Promise<Ended> {
    return run('sh', this.#inside(program, args), { timeoutMs });
  }

  /** Standard output of a program that must succeed there. */
  runOk(program: string, args: readonly string[], timeoutMs = 60_000): Promise<string> {
    return runOk('sh', this.#inside(program, args), { timeoutMs });
  }

  sh(script: string): Promise<Ended> {
    return this.run('sh', ['-c', script]);
  }

  /** Starts what stays, a child of the node's first process. */
  async background(tag: string, program: string, args: readonly string[]): Promise<void> {
    const log = `${this.parts.directory}/log/${this.name}.${tag}`;
    const flag = `/run/started.${tag}`;
    // -f: else nsenter, outside of the node, would be its parent, and nobody would reap it when nsenter is stopped. Awaited:
    // whoever is still in the group of what `run` started ends with that.
    const script = `rm -f ${flag}; setsid -f sh -c ': >${flag}; exec "$@"' sh "$@" >>'${log}' 2>&1 </dev/null
      while [ ! -e ${flag} ]; do sleep 0.02; done`;
    await this.runOk('sh', ['-c', script, 'sh', program, ...args]);
  }

  /** Nothing comes in any more; what goes out goes on. */
  async dropInput(): Promise<void> {
    await this.runOk('nft', [
      'add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in iifname "eth0" drop',
    ]);
  }

  async acceptInput(): Promise<void> {
    await this.run('nft', ['delete table inet cut']);
  }

  #inside(program: string, args: readonly string[]): string[] {
    if (!this.parts.group.has(this.#init)) throw new Error(`node ${this.name} is off`);
    return this.parts.group.wrap('nsenter', [
      '-t',
      String(this.#init),
      ...NAMESPACES,
      '--',
      program,
      ...args,
    ]);
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
