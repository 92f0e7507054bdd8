import { EventEmitter } from 'node:events';
import { LoopError } from '../errno.js';
import { nbdIndexOf } from '../io/device-number.js';
import { LockOrder } from '../locks/lock-order.js';
import { OrderedMutex } from '../locks/mutex.js';
import { Announcements } from './announcements.js';
import type { Backing } from './backing.js';
import { configureWith, type Restored } from './configure.js';
import { DeviceNumbers } from './device-numbers.js';
import { DeviceTable, type Entry } from './device-table.js';
import { ExportNames } from './export-names.js';
import { faultsOf } from './faults.js';
import type { Ledger } from './ledger.js';
import type { LoopCore, LoopHost } from './loop-core.js';
import type { LoopDevice } from './loop-device.js';
import { markDeleting } from './mark-deleting.js';
import { loopSnapshot, type SnapshotResult, type SnapshotTarget } from './snapshot.js';
import type { Logger, LoopConfig, LoopControlOptions, LoopEvents, LoopStatus } from './types.js';
import { openBacking, type WantedBacking } from './validate-file.js';

export type { LoopControlOptions } from './types.js';

/** The kernel's device numbers have 20 bits. */
const MAX_NUMBER = 2 ** 20 - 1;

/**
 * The registry of loop devices, /dev/loop-control: it adds, removes and finds them, and tells what happens to them.
 */
export class LoopControl {
  /** Emits 'change' once a state is reached and every lock is dropped, in the order of `sequence`. */
  readonly events = new EventEmitter<LoopEvents>();
  readonly order: LockOrder;
  readonly #table: DeviceTable;
  readonly #announcements: Announcements;
  readonly #names = new ExportNames();
  readonly #numbers: DeviceNumbers;
  readonly #log: Logger | undefined;
  readonly #host: LoopHost;
  #ledger: Ledger | undefined;
  #mapDirectory: string | undefined;

  constructor(options: LoopControlOptions = {}) {
    // Every client that follows the events is a listener.
    this.events.setMaxListeners(0);
    this.order = options.order ?? new LockOrder();
    this.#log = options.log;
    const isAttached = options.isAttached ?? (() => true);
    this.#numbers = new DeviceNumbers({
      isDevice: (number) => this.#table.has(number),
      isTaken: options.isTaken ?? (() => false),
    });
    this.#table = new DeviceTable(this.order, this.#numbers);
    this.#announcements = new Announcements(this.events, this.order, this.#log);
    this.#host = {
      order: this.order,
      validateMutex: new OrderedMutex(this.order, 'validateMutex', 'loop-control'),
      names: this.#names,
      announce: (core, kind) => this.#announcements.announce(core, kind),
      ownDevice: (rdev) => {
        const number = nbdIndexOf(rdev);
        return number !== undefined && isAttached(number) ? this.#table.get(number)?.core : undefined;
      },
      ledger: () => this.#ledger,
      mapDirectory: () => this.#mapDirectory,
      devices: () => this.#table.sorted().map(({ core }) => core),
      announceHit: (core, hit) => this.#announcements.announceHit(core, hit),
      report: (core, error) =>
        this.#log?.error({ err: error, device: core.name }, 'A clear left an error behind.'),
      onThaw: options.onThaw ?? (() => {}),
    };
  }

  /** Every device, by number. */
  devices(): readonly LoopDevice[] {
    return this.#table.sorted().map((entry) => entry.device);
  }

  /** Resolves when no operation of any device is under way, also no clear that a last close has left behind. */
  async idle(): Promise<void> {
    await Promise.all(this.devices().map((device) => device.idle()));
  }

  /** Throws ENODEV when there is no such device. */
  device(number: number): LoopDevice {
    const entry = this.#table.get(number);
    if (entry === undefined) throw this.#table.noSuchDevice(number);
    return entry.device;
  }

  /** The device whose export has this name of its own; undefined where none has. */
  exportedAs(name: string): LoopDevice | undefined {
    const entry = this.#table.get(this.#names.holder(name) ?? -1);
    // A name that is about to be a device's is nobody's yet.
    return entry?.core.binding?.exportName === name ? entry.device : undefined;
  }

  /** From here on every binding is written there first. At most once. */
  recordIn(ledger: Ledger): void {
    if (this.#ledger !== undefined) throw new Error('There is a ledger already.');
    this.#ledger = ledger;
  }

  /** What overlays know and have not written yet outlives this process there; else nowhere. */
  keepMapsIn(directory: string): void {
    this.#mapDirectory = directory;
  }

  /**
   * Snapshots of devices at one instant (`loopSnapshot`). Throws ENODEV, ENXIO, EINVAL, EEXIST, EOPNOTSUPP, EXDEV, EROFS,
   * ELOOP.
   */
  async snapshot(targets: readonly SnapshotTarget[]): Promise<SnapshotResult[]> {
    const cores = targets.map(({ number, file }) => {
      const core = this.#table.get(number)?.core;
      if (core === undefined) throw this.#table.noSuchDevice(number);
      return { core, file };
    });
    const names = cores.map(({ core }) => core.name).join(' ');
    return await this.order.task(`snapshot ${names}`, () => loopSnapshot(cores));
  }

  /** Every device has its old file alone. */
  async cancelCopies(): Promise<void> {
    const running = this.devices().filter((device) => device.copyStatus()?.state === 'running');
    await Promise.allSettled(running.map((device) => device.cancelCopy()));
  }

  /** Everything of every overlay is on disk. Rejects with the first that failed, when all were tried. */
  async settle(): Promise<void> {
    await this.cancelCopies();
    const results = await Promise.allSettled(this.devices().map((device) => device.settle()));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /**
   * Keeps a number that has no device, and the name of its export, from any file but one that is restored: clients may come
   * back to it. `reason` is told to those who ask for the device.
   */
  reserve(number: number, reason: string, exportName: string | null = null): void {
    this.#numbers.reserve(number, reason);
    this.#names.keep(number, exportName);
  }

  /** Gives a reserved number up. */
  release(number: number): void {
    this.#numbers.release(number);
    this.#names.keep(number, null);
  }

  /**
   * Takes a number out of use for a device that is none of this registry: the lowest that no device has, unless `number` is
   * given. `reason` is told to those who ask for it. EBUSY where it is in use.
   */
  lend(reason: (number: number) => string, number?: number): number {
    return this.#numbers.lend(reason, number);
  }

  /** It is in use no longer. */
  takeBack(number: number): void {
    this.#numbers.takeBack(number);
  }

  /** The lowest number that is reserved. */
  get lowestReserved(): number | undefined {
    return this.#numbers.lowestReserved;
  }

  /** Opens a file for `restore`, if it is `meant`. Throws EBADF, EBUSY, ESTALE. */
  openFile(wanted: WantedBacking): Promise<Backing> {
    return openBacking(this.#host, wanted);
  }

  /**
   * Makes a device of a reserved number and binds an open file to it, which is the device's from then on; on a throw it
   * stays the caller's, and the number reserved. Nobody finds the device unbound: who opens it waits. Throws EEXIST
   * when there is such a device, and what `loopConfigure` throws of file and parameters.
   */
  restore(number: number, file: Backing, config: LoopConfig, restored: Restored): Promise<void> {
    return this.order.task(`restore loop${number}`, async () => {
      const { reason, entry, settle } = await this.#table.change(() => {
        const reason = this.#numbers.release(number);
        const entry = this.#table.add(number, this.#host);
        return { reason, entry, settle: entry.core.transitions.begin() };
      });
      this.#announcements.announce(entry.core, 'add');
      try {
        await configureWith(entry.core, file, config, restored);
        this.#names.keep(number, null);
      } catch (error) {
        await this.#table.change(() => {
          this.#table.delete(number);
          if (reason !== undefined) this.#numbers.reserve(number, reason);
        });
        this.#announcements.announce(entry.core, 'remove');
        throw error;
      } finally {
        settle();
      }
    });
  }

  /**
   * LOOP_CTL_ADD. Adds an unbound device: of this number, or (-1, or none given) of the lowest that is not in use
   * here or by another NBD client.
   * Throws EEXIST, and EINVAL for what can't be a number of a device.
   */
  ctlAdd(number = -1): Promise<number> {
    return this.order.task('ctl_add', async () => {
      if (!Number.isInteger(number) || number > MAX_NUMBER) {
        throw new LoopError('EINVAL', `There can't be a device loop${number}.`);
      }
      const entry = await this.#table.change(() => this.#table.add(number, this.#host));
      this.#announcements.announce(entry.core, 'add');
      return entry.core.number;
    });
  }

  /** LOOP_CTL_REMOVE. Throws EINVAL for a negative number, ENODEV, EBUSY when bound or open. */
  ctlRemove(number: number): Promise<void> {
    return this.order.task('ctl_remove', async () => {
      if (!(number >= 0)) throw new LoopError('EINVAL', 'A device is removed by its number.');
      const core = this.#table.get(number)?.core;
      if (core === undefined || core.state === 'deleting') throw this.#table.noSuchDevice(number);
      await core.exclusive(async () => {
        markDeleting(core);
        return undefined;
      });
      await this.#table.change(() => this.#table.delete(number));
      faultsOf(core).close();
      this.#announcements.announce(core, 'remove');
    });
  }

  /** LOOP_CTL_GET_FREE: the lowest unbound device, or a new one. */
  ctlGetFree(): Promise<number> {
    return this.order.task('ctl_get_free', async () => (await this.#free(() => {})).core.number);
  }

  /**
   * Binds a file to a free device in one step: two callers never get the same, and neither sees EBUSY. Throws what
   * `loopConfigure` throws but EBUSY, and leaves no device behind that was added for it.
   */
  findAndConfigure(config: LoopConfig): Promise<LoopStatus> {
    return this.order.task('find', async () => {
      const file = await openBacking(this.#host, config);
      try {
        return await this.#bindToFree(file, config);
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  async #bindToFree(file: Backing, config: LoopConfig): Promise<LoopStatus> {
    for (;;) {
      let isNew = false;
      const entry = await this.#free((free, added) => {
        free.claimed = true;
        isNew = added;
      });
      try {
        await configureWith(entry.core, file, config);
        return entry.core.snapshot();
      } catch (error) {
        // Somebody who named this very device bound or removed it first: there are others.
        if (error instanceof LoopError && error.errno === 'EBUSY') continue;
        // Claimed until it is gone: nobody is told its number meanwhile.
        if (isNew) await this.#removeUnused(entry.core.number);
        throw error;
      } finally {
        entry.claimed = false;
      }
    }
  }

  /** Somebody may have bound or opened it by its name, or removed it: then it is theirs. */
  async #removeUnused(number: number): Promise<void> {
    try {
      await this.ctlRemove(number);
    } catch (error) {
      if (!(error instanceof LoopError)) throw error;
    }
  }

  /** The lowest unbound device that nobody has claimed, or a new one; `take` runs in the same step. */
  async #free(take: (entry: Entry, added: boolean) => void): Promise<Entry> {
    const isFree = ({ state, number }: LoopCore): boolean =>
      state === 'unbound' && !this.#numbers.isTaken(number) && this.#ledger?.kept(number) === undefined;
    const { entry, added } = await this.#table.change(() => {
      const there = this.#table.sorted().find(({ core, claimed }) => isFree(core) && !claimed);
      const entry = there ?? this.#table.add(-1, this.#host);
      const added = there === undefined;
      take(entry, added);
      return { entry, added };
    });
    if (added) this.#announcements.announce(entry.core, 'add');
    return entry;
  }
}
