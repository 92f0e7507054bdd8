/** Writes down what becomes of devices, before it does, for the daemon that comes after this one. */

import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { PartedSession } from '../../server/parted-session.js';
import { LoopError } from '../errno.js';
import { sameFile } from '../io/file-identity.js';
import type { PartedDevice } from '../kernel/attach.js';
import type { AttachRecord } from '../kernel/attach-record.js';
import type { Attachments } from '../kernel/attachments.js';
import { endKeeper, keepDescriptors, keeperIsKnown } from '../kernel/keeper.js';
import type { Binding } from '../loop/binding.js';
import type { Ledger } from '../loop/ledger.js';
import type { LoopControl } from '../loop/loop-control.js';
import { type DeviceRecord, type Handed, type Handover, recordOf } from './state.js';
import type { StateDirectory, StateDraft, StateEdit } from './state-directory.js';

/** What could not be forgotten is tried again so often, milliseconds. */
const RETRY_MS = 1000;
/** Files of devices that no kernel has wait at least so long for the next daemon, seconds. */
const LEAST_HANDOVER = 10;
/** Sessions of clients wait so long for the next daemon, seconds: a start on a slow machine takes some. */
const CLIENTS_HANDOVER = 30;
/** Copies that hang are not waited for, milliseconds. */
const CANCEL_MS = 500;

export interface KeeperLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface StateKeeperParts {
  readonly state: StateDirectory;
  readonly loops: LoopControl;
  readonly attachments: Attachments;
  /** Sockets of devices of other hosts, for the next daemon: they are not looked after from then on. */
  readonly partRemotes: () => readonly PartedDevice[];
  readonly log: KeeperLog;
}

export class StateKeeper implements Ledger {
  /** From then on nothing is written: what ends ends because this process does. */
  #isStopped = false;
  /** Bindings that were let go of by force under the kernel's device. */
  readonly #kept = new Map<number, Binding>();

  constructor(readonly parts: StateKeeperParts) {}

  async note(number: number, binding: Binding): Promise<void> {
    const before = this.parts.state.devices.find((device) => device.number === number);
    if (before !== undefined && isDeepStrictEqual(before, recordOf(number, binding, before))) return;
    await this.#change(number, ({ devices }) => {
      devices.set(number, recordOf(number, binding, devices.get(number)));
    });
  }

  async forget(number: number, binding: Binding): Promise<void> {
    await this.#change(number, ({ devices }) => remove(devices, number, binding.id));
    this.#remember(number, binding);
  }

  async forgetAnyway(number: number, binding: Binding): Promise<void> {
    this.#remember(number, binding);
    if (this.#isStopped) return;
    const removal: StateEdit = ({ devices }) => remove(devices, number, binding.id);
    try {
      await this.#change(number, removal);
    } catch (err) {
      this.parts.log.error({ err, device: `loop${number}` }, 'what was let go of is not forgotten yet');
      void this.#retry(number, removal);
    }
  }

  kept(number: number): { readonly id: string; readonly identity: Binding['file']['identity'] } | undefined {
    const binding = this.#kept.get(number);
    if (binding === undefined) return undefined;
    if (this.parts.attachments.node(number) !== null) {
      return { id: binding.id, identity: binding.file.identity };
    }
    this.#kept.delete(number);
    return undefined;
  }

  /** How a device is about to be attached, or that it is no longer. */
  attached(number: number, attach: AttachRecord | null): Promise<void> {
    return this.#change(number, ({ devices }) => {
      const record = devices.get(number);
      if (record !== undefined) devices.set(number, { ...record, attach, attachAgain: false });
    });
  }

  /**
   * The last close of the kernel's device ends one that could not be brought back. `attach`: how it was attached, where
   * that is not known. Rejects when it can't be written.
   */
  async leaveToLastClose(record: DeviceRecord, attach: AttachRecord): Promise<DeviceRecord> {
    const { number, id } = record;
    const left = { ...record, autoclear: true, attach: record.attach ?? attach, attachAgain: false };
    await this.#change(number, ({ devices }) => {
      if (devices.get(number)?.id === id) devices.set(number, left);
    });
    return left;
  }

  /** Gives up the record of a device that could not be brought back. Rejects when that can't be written. */
  giveUp({ number, id }: DeviceRecord): Promise<void> {
    return this.#change(number, ({ devices }) => remove(devices, number, id));
  }

  /** From here on nothing is written, and what would have to be is refused. Returns the devices that the kernel has. */
  stop(): ReadonlySet<number> {
    this.#isStopped = true;
    const numbers = this.parts.state.devices.map(({ number }) => number);
    return new Set(numbers.filter((number) => this.parts.attachments.node(number) !== null));
  }

  /**
   * Leaves every device to the next daemon. Those of `attached` that were taken out of the kernel since are attached again
   * by it. With `forget` only what the kernel has is left.
   */
  leave(attached: ReadonlySet<number>, options: { readonly forget: boolean }): Promise<void> {
    const isAttached = (number: number): boolean => this.parts.attachments.node(number) !== null;
    return this.#write(({ devices }) => {
      for (const [number, record] of devices) {
        if (isAttached(number)) continue;
        if (options.forget || record.overlay?.temporary === true) devices.delete(number);
        else if (attached.has(number)) devices.set(number, { ...record, attachAgain: true });
      }
    });
  }

  /**
   * Stops as well, with every device's open file, with the sockets of those that the kernel has, and with what `partOthers` gives up
   * of other clients' sessions, after which there are none. A file that requests are still under way for then is kept with its lock until this process is gone: what is
   * late must not land on what the next daemon has written.
   */
  async handOver(partOthers: () => Promise<readonly PartedSession[]>): Promise<void> {
    const { state, attachments, log } = this.parts;
    await Promise.race([this.parts.loops.cancelCopies(), sleep(CANCEL_MS, undefined, { ref: false })]);
    this.#isStopped = true;
    const parted = [...(await attachments.part()), ...this.parts.partRemotes()];
    const sessions = await partOthers();
    const handed: Kept[] = [
      ...parted.flatMap(({ device, sockets }) =>
        sockets.map(({ fd, leftover }) => ({
          fd,
          what: { device, kind: 'socket', leftover: Buffer.from(leftover).toString('base64') } as const,
        })),
      ),
      ...this.#files(),
    ];
    if (handed.length === 0) return;
    const seconds = Math.max(LEAST_HANDOVER, ...state.devices.map(({ attach }) => attach?.deadTimeout ?? 0));
    const handover = keep(handed, seconds);
    if (handover === undefined) {
      log.error({}, 'no process keeps the open files for the next daemon: it looks for them by their names');
      return;
    }
    const clients = sessions.length === 0 ? undefined : keep(sessions.map(ofSession), CLIENTS_HANDOVER);
    const keepers = [handover.keeper, ...(clients === undefined ? [] : [clients.keeper])];
    try {
      await this.#write((draft) => {
        draft.handover = { ...handover, ...(clients && { clients }) };
      });
      for (const keeper of keepers) keeperIsKnown(keeper);
    } catch (err) {
      // It would hold the locks of files that the next daemon opens by their names.
      for (const keeper of keepers) endKeeper(keeper);
      log.error({ err }, 'the handover was not written down: the next daemon looks for files by their names');
    }
  }

  #files(): { readonly fd: number; readonly what: Handed }[] {
    const busy = this.#busy();
    return this.parts.loops.devices().flatMap((loop) => {
      const { handed, number: device } = loop;
      if (handed === undefined || busy.has(device)) return [];
      const { file, lock } = handed;
      const own = { fd: file, what: { device, kind: 'file' } as const };
      const locks = lock === undefined ? [] : [{ fd: lock, what: { device, kind: 'lock' } as const }];
      const layers = loop.handedLayers.map((fd) => ({ fd, what: { device, kind: 'layer' } as const }));
      return [own, ...locks, ...layers];
    });
  }

  /** Devices with requests under way, and those that share a file with one. */
  #busy(): ReadonlySet<number> {
    const { loops, state, log } = this.parts;
    const busy = new Set(
      loops.devices().flatMap(({ number, queue }) => (queue.inFlight > 0 ? [number] : [])),
    );
    if (busy.size === 0) return busy;
    log.error(
      { devices: [...busy].map((number) => `loop${number}`) },
      'what is under way does not end: the next daemon has these devices when this process is gone',
    );
    const files = state.devices.flatMap(({ number, identity }) => (busy.has(number) ? [identity] : []));
    const sharing = state.devices.filter(({ identity }) => files.some((file) => sameFile(file, identity)));
    return new Set([...busy, ...sharing.map(({ number }) => number)]);
  }

  /** What the kernel has while the binding goes may outlive it. */
  #remember(number: number, binding: Binding): void {
    if (this.parts.attachments.node(number) !== null) this.#kept.set(number, binding);
  }

  async #retry(number: number, edit: StateEdit): Promise<void> {
    while (!this.#isStopped) {
      await sleep(RETRY_MS, undefined, { ref: false });
      try {
        return await this.#change(number, edit);
      } catch {
        // Still no room.
      }
    }
  }

  async #change(number: number, edit: StateEdit): Promise<void> {
    if (this.#isStopped) throw new LoopError('ECANCELED', `loop${number}: the daemon is ending.`);
    try {
      await this.#write(edit);
    } catch (error) {
      if (!(error instanceof LoopError)) throw error;
      throw new LoopError(error.errno, `loop${number}: ${error.message}`);
    }
  }

  #write(edit: StateEdit): Promise<void> {
    return this.parts.state.change(edit);
  }
}

interface Kept {
  readonly fd: number;
  readonly what: Handed;
}

function keep(handed: readonly Kept[], seconds: number): Handover | undefined {
  const keeper = keepDescriptors(
    handed.map(({ fd }) => fd),
    seconds,
  );
  return keeper && { keeper, descriptors: handed.map(({ what }) => what) };
}

const ofSession = ({ fd, leftover, ...session }: PartedSession): Kept => ({
  fd,
  what: { ...session, kind: 'session', leftover: Buffer.from(leftover).toString('base64') },
});

/** Only the record of this binding. */
function remove(devices: StateDraft['devices'], number: number, id: string): void {
  if (devices.get(number)?.id === id) devices.delete(number);
}
