/**
 * Takes a device down as one when its file is lost (another host has the lock, a file system of several hosts has given its
 * descriptors up), and has it back when it can: nothing is served in between, its sessions are told and ended.
 */

import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from './errno.js';
import type { LoopControl } from './loop/loop-control.js';
import type { LoopDevice } from './loop/loop-device.js';

const { EIO } = constants.errno;
/** A plain error of a disk is looked into at most so often, milliseconds. */
const DOUBT_MS = 1000;
/** Sessions have this long to be told ESHUTDOWN for what they have asked, milliseconds. */
const TELL_MS = 200;
/** The file is asked for so often, milliseconds. */
const RETRY_MS = 500;
/**
 * Who has the lock may be ourselves, as a server remembers us: that long it is asked for all the same, milliseconds. Longer
 * than the time-outs that docs/cluster.md sets.
 */
const OTHER_HAS_IT_MS = 10_000;
/** Of fenced devices the lock is looked at so often, milliseconds. */
const LOOK_MS = 5000;

export interface FencingParts {
  readonly loops: LoopControl;
  /** Ends every session of a device. */
  readonly dropSessions: (device: number, reason: string) => void;
  /** The device is served again: what this host's kernel has of it goes on. */
  readonly onBack: (device: number) => void;
  readonly log: {
    info(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
}

export class Fencing {
  /** By number: the binding that is watched. */
  readonly #watched = new Map<number, string>();
  readonly #timer: NodeJS.Timeout;

  constructor(readonly parts: FencingParts) {
    parts.loops.events.on('change', ({ device, status }) => this.#watchBinding(device, status.uuid));
    for (const device of parts.loops.devices()) this.#watchBinding(device.number, device.snapshot().uuid);
    this.#timer = setInterval(() => void this.#lookAtLocks(), LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #watchBinding(number: number, uuid: string | null): void {
    if (uuid === null || this.#watched.get(number) === uuid) return;
    this.#watched.set(number, uuid);
    const device = this.parts.loops.device(number);
    void this.#watch(device, uuid).catch((err: unknown) => this.#failed(device, err));
  }

  /** As long as this is what the device is bound to. */
  async #watch(device: LoopDevice, uuid: string): Promise<void> {
    const isIt = (): boolean => device.snapshot().uuid === uuid;
    while (isIt()) {
      const errno = await device.queue.lost();
      if (!isIt()) break;
      if (errno === EIO && !device.isFenced) {
        // Before the look, so that what comes after it is a doubt of its own.
        device.queue.dispelDoubt();
        if (await device.hasLock()) {
          await sleep(DOUBT_MS, undefined, { ref: false });
          continue;
        }
      }
      await this.#takeDown(device, errno);
      if (!(await this.#haveBack(device, isIt))) break;
    }
    if (this.#watched.get(device.number) === uuid) this.#watched.delete(device.number);
  }

  async #takeDown(device: LoopDevice, errno: number): Promise<void> {
    this.parts.log.error(
      { device: device.name, file: device.snapshot().file, errno },
      `${device.name}: its file is lost: it is taken down until it can be had again`,
    );
    device.queue.condemn(errno);
    await sleep(TELL_MS, undefined, { ref: false });
    this.parts.dropSessions(device.number, 'the file of its device is lost');
    await device.loseFile(errno);
  }

  /** False when it is given up. */
  async #haveBack(device: LoopDevice, isIt: () => boolean): Promise<boolean> {
    let busySince: number | undefined;
    for (;;) {
      await sleep(RETRY_MS, undefined, { ref: false });
      if (!isIt()) return false;
      try {
        await device.haveFileBack();
        this.parts.log.info({ device: device.name }, `${device.name}: its file is there again`);
        this.parts.onBack(device.number);
        return true;
      } catch (error) {
        const errno = error instanceof LoopError ? error.errno : 'EIO';
        busySince = errno === 'EBUSY' ? (busySince ?? Date.now()) : undefined;
        const isAnothers = busySince !== undefined && Date.now() - busySince >= OTHER_HAS_IT_MS;
        if (!isAnothers && errno !== 'EOPNOTSUPP') continue;
        this.parts.log.error(
          { err: error, device: device.name },
          `${device.name} is given up: ${isAnothers ? 'another has its file' : 'its files are not opened anew by themselves'}`,
        );
        await device.loopClrFd({ force: true });
        return false;
      }
    }
  }

  /** A descriptor that asks nothing hears of nothing: where another host may have the file, its lock is looked at. */
  async #lookAtLocks(): Promise<void> {
    for (const device of this.parts.loops.devices()) {
      if (!device.isFenced || device.snapshot().uuid === null) continue;
      if (!(await device.hasLock().catch(() => false))) device.queue.condemn(constants.errno.ENOLCK);
    }
  }

  #failed(device: LoopDevice, err: unknown): void {
    this.#watched.delete(device.number);
    this.parts.log.error({ err, device: device.name }, `${device.name}: its file could not be looked after`);
  }
}
