/**
 * Brings back the devices of the daemon before this one: each under its number and with its file, or not at all. A device
 * that can't be had back stays down: its number is kept, nothing is served there, and its user is told why.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { PartedSession } from '../../server/parted-session.js';
import { LoopError } from '../errno.js';
import { type FileIdentity, sameFile } from '../io/file-identity.js';
import type { PartedSocket } from '../kernel/attach.js';
import type { Attachments } from '../kernel/attachments.js';
import { nodePath } from '../kernel/sysfs.js';
import type { LoopControl } from '../loop/loop-control.js';
import {
  type Down,
  isLeftToLastClose,
  kernelHas,
  refuseStranger,
  UNKNOWN_ATTACHMENT,
  type Unrecovered,
} from './down.js';
import { HandedOver } from './handed.js';
import { Patience } from './patience.js';
import { checkSize, openAgain, openByName, restore } from './reopen.js';
import type { DeviceRecord } from './state.js';
import type { StateDirectory, StateDraft } from './state-directory.js';
import type { KeeperLog, StateKeeper } from './state-keeper.js';

export interface RecoveryParts {
  readonly state: StateDirectory;
  readonly keeper: StateKeeper;
  readonly loops: LoopControl;
  readonly attachments: Attachments;
  /** Goes on with sessions of clients: the device serves its file again. Never rejects. */
  readonly takeUpSessions: (number: number, sessions: readonly PartedSession[]) => Promise<void>;
  /** Takes up devices of other hosts, with the sockets that were handed over. */
  readonly takeUpRemotes: (takeSockets: (number: number) => readonly PartedSocket[]) => void;
  readonly log: KeeperLog;
}

/** Whether the kernel has let go of a device that is down is looked at so often, milliseconds. */
const LOOK_MS = 500;

/** So long the daemon's start waits for devices that the kernel has, and for the others, milliseconds. */
const PATIENCE_MS = 1000;

const soon = (work: Promise<unknown>): Promise<unknown> =>
  Promise.race([work, sleep(PATIENCE_MS, undefined, { ref: false })]);

export class Recovery {
  readonly #down = new Map<number, Down>();
  /** Devices that are being recovered or given up. */
  readonly #busy = new Set<number>();
  /** Devices that `run` has begun with, and that serve nothing yet. */
  readonly #underWay = new Map<number, DeviceRecord>();
  readonly #patience: Patience;
  #again: DeviceRecord[] = [];
  #following: NodeJS.Timeout | undefined;

  /** From here on no other file gets the number of a device that is to be brought back. */
  constructor(readonly parts: RecoveryParts) {
    this.#patience = new Patience(parts);
    for (const { number, file, exportName } of parts.state.devices) {
      parts.loops.reserve(number, `it is being brought back with ${file}.`, exportName);
    }
  }

  /**
   * Resolves when every device is back or down, those that the kernel has first; or soon, whatever is left: one whose file
   * is locked or hangs keeps the others from nothing. It counts as down until it is back.
   */
  async run(): Promise<void> {
    const { state } = this.parts;
    const handed = new HandedOver(state.handover);
    this.parts.takeUpRemotes((number) => handed.takeSockets(number));
    const bringBack = (records: readonly DeviceRecord[]): Promise<unknown> =>
      Promise.all(records.map((record) => this.#bringBack(record, handed)));
    const waiting = bringBack(state.devices.filter(({ attach }) => attach !== null));
    await soon(waiting);
    const others = bringBack(state.devices.filter(({ attach }) => attach === null));
    await soon(others);
    for (const record of this.#underWay.values()) this.#isLate(record, handed);
    const all = Promise.all([waiting, others]).then(() => this.#finish(handed));
    if (this.#underWay.size === 0) await all;
  }

  async #finish(handed: HandedOver): Promise<void> {
    const { state } = this.parts;
    handed.close();
    // It is taken, whether that can be written or not: its keeper is gone.
    if (state.handover !== null) await state.change(dropHandover).catch(() => undefined);
  }

  #isLate(record: DeviceRecord, handed: HandedOver): void {
    const { number, file } = record;
    const message = `It is still being brought back: ${file} is locked, or its file system does not answer.`;
    this.#down.set(number, { record, errno: 'EAGAIN', message });
    this.#busy.add(number);
    this.parts.log.error({ device: `loop${number}`, file }, 'a device takes long to be brought back');
    if (!kernelHas(this.parts.state.daemonId, record)) return;
    void this.#patience.expect(record, handed.takeSockets(number));
  }

  /** Attaches what the daemon before this one took out of the kernel when it ended. Clients may connect by now. */
  async attachAgain(): Promise<void> {
    await Promise.all(this.#again.splice(0).map((record) => this.#attachAgain(record)));
  }

  /** Devices that are down, by number. */
  list(): Unrecovered[] {
    return [...this.#down.values()]
      .map(({ record: { number, id, exportName, file }, errno, message }) => ({
        ...{ number, name: `loop${number}`, uuid: id, exportName, file, errno, message },
        node: this.parts.attachments.node(number),
      }))
      .sort((a, b) => a.number - b.number);
  }

  isDown(number: number): boolean {
    return this.#down.has(number);
  }

  /** The device that is down and that a file was behind, by its name or by what it is. */
  waitsFor(path: string, identity: FileIdentity | undefined): Unrecovered | undefined {
    return this.list().find(({ number, file }) => {
      const meant = this.#down.get(number)?.record.identity;
      return file === path || (identity !== undefined && meant !== undefined && sameFile(meant, identity));
    });
  }

  /**
   * Tries again to bring a device back: with the file where it was, or with `file`. Another file than was meant is
   * ESTALE, unless `force`: then the caller vouches for it, and it must make the same size (EINVAL). Throws ENODEV,
   * EBUSY, and what binding throws.
   */
  recover(number: number, options: { readonly file?: string; readonly force?: boolean } = {}): Promise<void> {
    return this.#alone(number, async ({ record }) => {
      const isForced = options.force === true;
      const file = await openByName(
        { ...record, file: options.file ?? record.file },
        isForced ? undefined : record.identity,
        this.parts.loops,
      );
      try {
        if (!sameFile(file.identity, record.identity)) await checkSize(record, file);
        await restore(record, file, this.parts);
      } catch (error) {
        await file.close();
        throw error;
      }
      this.#down.delete(number);
      await this.#intoKernel(record, undefined);
      await this.attachAgain();
    });
  }

  /**
   * Frees the number of a device that is down. While somebody has the kernel's device open that is left to the last
   * close, unless `force`, as it is with any other device.
   */
  giveUp(number: number, options: { readonly force: boolean }): Promise<'cleared' | 'deferred'> {
    return this.#alone(number, async (down) => {
      if (!(await this.#outOfKernel(number, down, options))) {
        this.#followLastCloses();
        return 'deferred';
      }
      await this.#giveUp(down.record);
      return 'cleared';
    });
  }

  /** False when that is left to the last close. */
  async #outOfKernel(number: number, down: Down, options: { readonly force: boolean }): Promise<boolean> {
    const { attachments, keeper } = this.parts;
    if (attachments.node(number) === null) return true;
    if (options.force) {
      await attachments.detach(number, options);
      return true;
    }
    // A daemon that comes before the last close, or after it, does the same.
    const record = await keeper.leaveToLastClose(down.record, UNKNOWN_ATTACHMENT);
    this.#down.set(number, { ...down, record });
    return attachments.detachAtLastClose(number);
  }

  async #giveUp(record: DeviceRecord): Promise<void> {
    await this.parts.keeper.giveUp(record);
    this.#down.delete(record.number);
    this.parts.loops.release(record.number);
  }

  /** The last close of a device that is down frees its number, too, where autoclear is wanted. */
  #followLastCloses(): void {
    this.#following ??= setInterval(() => {
      const left = [...this.#down.values()].filter(({ record }) => isLeftToLastClose(record));
      for (const { record } of left) this.#giveUpIfClosed(record);
      if (left.length > 0) return;
      clearInterval(this.#following);
      this.#following = undefined;
    }, LOOK_MS).unref();
  }

  #giveUpIfClosed(record: DeviceRecord): void {
    const { number } = record;
    if (this.#busy.has(number) || this.parts.attachments.node(number) !== null) return;
    void this.#alone(number, () => this.#giveUp(record)).catch((err: unknown) =>
      this.parts.log.error({ err, device: `loop${number}` }, 'it is not forgotten yet'),
    );
  }

  /** Never rejects. */
  async #bringBack(record: DeviceRecord, handed: HandedOver): Promise<void> {
    const { number } = record;
    this.#underWay.set(number, record);
    await this.#bringBackOrNot(record, handed);
    this.#underWay.delete(number);
    if (!this.#busy.delete(number)) return;
    // It was late: what follows a recovery is over.
    await this.attachAgain();
  }

  async #bringBackOrNot(record: DeviceRecord, handed: HandedOver): Promise<void> {
    const { number } = record;
    try {
      refuseStranger(this.parts.state.daemonId, record);
      if (isLeftToLastClose(record) && !kernelHas(this.parts.state.daemonId, record)) {
        await this.#letGo(record);
        return;
      }
      const { state, loops, log } = this.parts;
      const file = await openAgain(record, handed, { loops, log, predecessor: state.predecessor });
      await restore(record, file, this.parts).catch(async (error: unknown) => {
        await file.close();
        throw error;
      });
      this.#down.delete(number);
      // It serves: what is left is done here, and by nobody who takes it for late.
      this.#underWay.delete(number);
      await this.parts.takeUpSessions(number, handed.takeSessions(number));
      await this.#intoKernel(record, handed);
    } catch (error) {
      this.#underWay.delete(number);
      this.#stayDown(number, record, error);
    }
  }

  /** The last close of a device with autoclear came while no daemon was there to see it. */
  async #letGo(record: DeviceRecord): Promise<void> {
    const { keeper, loops, log } = this.parts;
    await keeper
      .giveUp(record)
      .catch((err: unknown) => log.error({ err, device: `loop${record.number}` }, 'it is not forgotten yet'));
    this.#down.delete(record.number);
    loops.release(record.number);
  }

  /** The device serves its file; what fails here is the kernel's side alone. */
  async #intoKernel(record: DeviceRecord, handed: HandedOver | undefined): Promise<void> {
    const { number, attach, attachAgain } = record;
    const { attachments, log } = this.parts;
    if (this.#patience.end(number)) {
      await attachments.served(number);
      log.info({ device: `loop${number}` }, `${nodePath(number)} goes on`);
      return;
    }
    if (!kernelHas(this.parts.state.daemonId, record)) {
      if (attach !== null && attachAgain) this.#again.push(record);
      return;
    }
    try {
      const sockets = handed?.takeSockets(number) ?? [];
      await attachments.resume(number, attach ?? UNKNOWN_ATTACHMENT, sockets);
      log.info({ device: `loop${number}`, sockets: sockets.length }, `${nodePath(number)} goes on`);
    } catch (err) {
      log.error({ err, device: `loop${number}` }, `${nodePath(number)} could not be taken up`);
    }
  }

  async #attachAgain({ number, attach }: DeviceRecord): Promise<void> {
    try {
      if (attach !== null) await this.parts.attachments.attach(number, attach);
    } catch (err) {
      this.parts.log.error(
        { err, device: `loop${number}` },
        'the device was not attached to the kernel again',
      );
    }
  }

  #stayDown(number: number, record: DeviceRecord, error: unknown): void {
    const { attachments, loops, log } = this.parts;
    const errno = error instanceof LoopError ? error.errno : 'EIO';
    const message = error instanceof Error ? error.message : String(error);
    this.#down.set(number, { record, errno, message });
    loops.reserve(
      number,
      `it was not brought back: ${message} "nbdloop recover loop${number}" tries again, "nbdlosetup -d loop${number}" gives it up.`,
      record.exportName,
    );
    if (kernelHas(this.parts.state.daemonId, record)) {
      const { id: uuid, size, blockSize, autoclear, partscan, attach } = record;
      const described = { uuid, size, blockSize, autoclear, partscan, isLimited: false };
      attachments.hold(number, attach ?? UNKNOWN_ATTACHMENT, described);
      if (autoclear) this.#followLastCloses();
    }
    this.#patience.end(number);
    log.error({ err: error, device: `loop${number}`, file: record.file }, 'a device was not brought back');
  }

  /** One at a time for a device that is down. */
  async #alone<T>(number: number, work: (down: Down) => Promise<T>): Promise<T> {
    const down = this.#down.get(number);
    if (down === undefined) {
      this.parts.loops.device(number); // ENODEV
      throw new LoopError('EBUSY', `loop${number} is not down: there is nothing to recover.`);
    }
    if (this.#busy.has(number)) throw new LoopError('EBUSY', `loop${number} is being recovered.`);
    this.#busy.add(number);
    try {
      return await work(down);
    } finally {
      this.#busy.delete(number);
    }
  }
}

function dropHandover(draft: StateDraft): void {
  draft.handover = null;
}
