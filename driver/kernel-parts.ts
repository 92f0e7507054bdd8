/** What ties loop devices to the kernel, and to the daemon that comes after this one. */

import type { NbdServer } from '../server/server.js';
import { LoopError } from './errno.js';
import type { Endpoint } from './kernel/attach.js';
import { Attachments } from './kernel/attachments.js';
import { NbdClientAttacher } from './kernel/nbd-client.js';
import { KernelLink } from './kernel/netlink/kernel-link.js';
import { NetlinkAttacher } from './kernel/netlink-attacher.js';
import type { NetlinkHost } from './kernel/netlink-device.js';
import type { LoopExports } from './loop/exports.js';
import type { LoopControl } from './loop/loop-control.js';
import { type RecoveryLog, recover, StateKeeper } from './state/recovery.js';
import { StateDirectory } from './state/state-directory.js';

export interface KernelPartsOptions {
  /** Locked from here on. EBUSY when another daemon has it. */
  readonly stateDirectory: string;
  readonly loops: LoopControl;
  readonly exports: LoopExports;
  readonly server: NbdServer;
  readonly log: RecoveryLog & NetlinkHost['log'];
  /** Where a client on this machine connects. */
  readonly endpoint: () => Endpoint | undefined;
}

export class KernelParts {
  private constructor(
    readonly attachments: Attachments,
    readonly keeper: StateKeeper,
    private readonly link: KernelLink,
    private readonly state: StateDirectory,
  ) {}

  /** Brings back what the daemon before this one left; from then on the state is kept up to date. */
  static async start(options: KernelPartsOptions): Promise<KernelParts> {
    const { loops, exports, server, log, endpoint } = options;
    const state = await StateDirectory.open(options.stateDirectory);
    const link = new KernelLink();
    const attachments: Attachments = new Attachments({
      attachers: [
        new NetlinkAttacher({ link, log, daemonId: state.daemonId, serve: serveKernel(server, exports) }),
        new NbdClientAttacher(endpoint),
      ],
      describe: (device) => loops.device(device).describe(),
      onChange: () => keeper.save(),
      log,
    });
    link.events.on('mounts', () => attachments.mountsChanged());
    await recover({ state, loops, attachments, log });
    const keeper = new StateKeeper({ state, loops, attachments, log });
    return new KernelParts(attachments, keeper, link, state);
  }

  /**
   * Before the drain: idle devices are detached, those in use stay for the next daemon; with `handover` all stay.
   */
  async leave(options: { readonly handover: boolean }): Promise<void> {
    await this.attachments.close({ keep: options.handover });
    await this.keeper.stop({ keep: options.handover ? 'all' : 'attached' });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.link.close();
    await this.state.close();
  }
}

/** Opens an export for the kernel and serves it on a socket that needs no handshake. */
const serveKernel =
  (server: NbdServer, exports: LoopExports): NetlinkHost['serve'] =>
  async (name, fd) => {
    const found = exports.find(name);
    if (found === undefined) throw new LoopError('ENODEV', `there is no device ${name}`);
    return server.serveSocket(fd, await found.open());
  };
