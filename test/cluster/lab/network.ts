/** The network between the nodes: a bridge in a namespace of its own, where the clients are, too. No address of it exists outside. */
import { type RunningProcess, runOk, start } from '../../helpers/process.js';
import { until } from '../../helpers/until.js';
import type { Cgroup } from './cgroup.js';
import { netNamespaceOf } from './namespaces.js';

/** Of the clients, on the bridge itself; a guest's is 10.9.0.8. */
const OWN = '10.9.0.9/24';

export class Network implements AsyncDisposable {
  private constructor(readonly holder: RunningProcess) {}

  static async start(group: Cgroup): Promise<Network> {
    const holder = start('sh', group.wrap('unshare', ['-n', 'sleep', 'infinity']));
    const network = new Network(holder);
    const own = netNamespaceOf(process.pid);
    await until('the network has a namespace', async () =>
      group.has(holder.pid) && netNamespaceOf(holder.pid) !== own ? true : undefined,
    );
    await network.sh(
      `ip link set lo up; ip link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0; ip addr add ${OWN} dev br0; ip link set br0 up`,
    );
    return network;
  }

  /** The words that run a program inside. */
  inside(program: string, args: readonly string[]): string[] {
    return ['-t', String(this.holder.pid), '-n', '--', program, ...args];
  }

  /** A cable to the namespaces of a process, and its address there. */
  async connect(name: string, pid: number, address: string): Promise<void> {
    await this.sh(
      `ip link del v${name} 2>/dev/null; ip link add v${name} type veth peer name eth0 netns ${pid} && ip link set v${name} master br0 && ip link set v${name} up`,
    );
    await runOk('nsenter', [
      ...['-t', String(pid), '-n', '--', 'sh', '-c'],
      `ip link set lo up; ip addr add ${address}/24 dev eth0; ip link set eth0 up`,
    ]);
  }

  /** A tap device on the bridge. */
  async tap(name: string): Promise<void> {
    await this.sh(
      `ip tuntap add ${name} mode tap && ip link set ${name} master br0 && ip link set ${name} up`,
    );
  }

  async unplug(name: string): Promise<void> {
    await this.sh(`ip link set v${name} down`);
  }

  async plug(name: string): Promise<void> {
    await this.sh(`ip link set v${name} up`);
  }

  async sh(script: string): Promise<string> {
    return runOk('nsenter', this.inside('sh', ['-c', script]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.holder[Symbol.asyncDispose]();
  }
}
