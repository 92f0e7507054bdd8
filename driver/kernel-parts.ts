/** What ties loop devices to the kernel, and to the daemon that comes after this one. */

import type { Export } from '../server/export.js';
import type { PartedSession } from '../server/parted-session.js';
import type { NbdServer } from '../server/server.js';
import { LoopError } from './errno.js';
import { expectLocksOf } from './io/left-locks.js';
import type { Endpoint } from './kernel/attach.js';
import { Attachments } from './kernel/attachments.js';
import { NbdClientAttacher } from './kernel/nbd-client.js';
import { KernelLink } from './kernel/netlink/kernel-link.js';
import { NetlinkAttacher } from './kernel/netlink-attacher.js';
import type { NetlinkHost } from './kernel/netlink-device.js';
import { removeUdevProperties, writeUdevProperties } from './kernel/udev-properties.js';
import { type LoopExports, refusing } from './loop/exports.js';
import type { LoopControl } from './loop/loop-control.js';
import { dropOldMaps } from './loop/overlay/top-maps.js';
import { Remotes } from './remote/remotes.js';
import { Recovery } from './state/recovery.js';
import type { StateDirectory } from './state/state-directory.js';
import { type KeeperLog, StateKeeper } from './state/state-keeper.js';
import { takeState } from './state/take-over.js';
import { limitsAnything } from './store/limits/limits.js';

export interface KernelPartsOptions {
  /** Locked from here on. EBUSY when another daemon has it and is not asked for it. */
  readonly stateDirectory: string;
  /** Control socket of a daemon to take over from, if it runs. */
  readonly predecessor: string | null;
  /** What takes long and is better done before a predecessor stops. */
  readonly prepare: () => Promise<void>;
  readonly loops: LoopControl;
  readonly exports: LoopExports;
  readonly server: NbdServer;
  readonly log: KeeperLog & NetlinkHost['log'];
  /** Where a client on this machine connects. */
  readonly endpoint: () => Endpoint | undefined;
}

export class KernelParts {
  private constructor(
    readonly attachments: Attachments,
    readonly recovery: Recovery,
    readonly remotes: Remotes,
    private readonly keeper: StateKeeper,
    private readonly link: KernelLink,
    private readonly state: StateDirectory,
  ) {}

  /** Brings back what the daemon before this one left; from then on the state is kept up to date. */
  static async start(options: KernelPartsOptions): Promise<KernelParts> {
    const { loops, log, endpoint } = options;
    const link = new KernelLink();
    const state = await takeState({
      path: options.stateDirectory,
      predecessor: options.predecessor,
      prepare: async () => {
        link.start();
        await options.prepare();
      },
    });
    const { daemonId } = state;
    expectLocksOf(state.predecessor);
    if (state.remotes.length > 0 || state.devices.some(({ attach }) => attach !== null)) link.start();
    const netlink = new NetlinkAttacher({ link, log, daemonId, ...kernelServing(options) });
    const remotes = new Remotes({
      host: { link, log, daemonId },
      numbers: {
        take: (reason) => loops.lend(reason),
        keep: (number, reason) => void loops.lend(() => reason, number),
        giveBack: (number) => loops.takeBack(number),
      },
      obstacle: () => netlink.obstacle(),
      note: (number, record) =>
        state.change((draft) => {
          if (record === null) draft.remotes.delete(number);
          else draft.remotes.set(number, record);
        }),
    });
    remotes.expect(state.remotes);
    const attachments: Attachments = new Attachments({
      attachers: [netlink, new NbdClientAttacher(endpoint, link)],
      describe: async (device) => ({
        ...(await loops.device(device).describe()),
        isLimited: limitsAnything(loops.device(device).loopLimits()),
      }),
      record: async (device, record) => {
        await keeper.attached(device, record);
        if (record === null) await removeUdevProperties(device);
        else await writeUdevProperties(device, loops.device(device).snapshot());
      },
      log,
    });
    link.events.on('mounts', () => attachments.mountsChanged());
    const keeper: StateKeeper = new StateKeeper({
      ...{ state, loops, attachments, log },
      partRemotes: () => remotes.part(),
    });
    loops.recordIn(keeper);
    loops.keepMapsIn(options.stateDirectory);
    await dropOldMaps(options.stateDirectory);
    const left = state.remotes;
    const recovery = new Recovery({
      ...{ state, keeper, loops, attachments, log },
      takeUpSessions: async (number, sessions) => {
        const name = loops.device(number).name;
        await Promise.all(sessions.map((session) => options.server.takeUp(name, session)));
      },
      takeUpRemotes: (takeSockets) => {
        for (const record of left) {
          const sockets = takeSockets(record.number).map(({ fd }) => fd);
          remotes.takeUp(record, sockets);
        }
      },
    });
    await recovery.run();
    return new KernelParts(attachments, recovery, remotes, keeper, link, state);
  }

  /**
   * Before the drain: idle devices are taken out of the kernel, and all of them, with their numbers and files, are left to
   * the next daemon; with `forget` only those that the kernel has. `inUse`: what becomes of those.
   */
  async leave(options: { readonly forget: boolean; readonly inUse: 'stay' | 'cut' }): Promise<void> {
    const attached = this.keeper.stop();
    await Promise.all([this.attachments.close(options.inUse), this.remotes.close(options)]);
    await this.keeper.leave(attached, options);
  }

  /** What this host's kernel has of a device goes on: it is served again. */
  revive(device: number): void {
    this.link.events.emit('linkDead', device);
  }

  /** In place of it: every device stays, and what was open waits for the next daemon, as `StateKeeper.handOver`. */
  async handOver(partOthers: () => Promise<readonly PartedSession[]>): Promise<void> {
    await this.keeper.handOver(partOthers);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.link.close();
    await this.state.close();
  }
}

/**
 * Opens exports for the kernel, and serves them on sockets that need no handshake. What is open stays bound, but by force:
 * so the binding is looked at then.
 */
function kernelServing({
  server,
  exports,
  loops,
}: KernelPartsOptions): Pick<NetlinkHost, 'serve' | 'refuse'> {
  const found = (name: string): Export => {
    const one = exports.find(name);
    if (one === undefined) throw new LoopError('ENODEV', `there is no device ${name}`);
    return one;
  };
  return {
    serve: async ({ exportName, device, binding }, { fd, leftover }) => {
      const opened = await found(exportName).open();
      if (loops.device(device).snapshot().uuid !== binding) {
        await opened.release();
        throw new LoopError('ESTALE', `${exportName} is not what the kernel has attached`);
      }
      return server.serveSocket(fd, opened, leftover);
    },
    refuse: ({ exportName }, { fd, leftover }) =>
      server.serveSocket(fd, refusing(found(exportName).info()), leftover),
  };
}
