import { errnoName, LoopError } from '../errno.js';
import { toWholeNumber } from '../exact-number.js';
import type { LockOrder } from '../locks/lock-order.js';
import { type Held, OrderedMutex } from '../locks/mutex.js';
import { DirtyMap } from '../queue/dirty-map.js';
import { type Frozen, RequestQueue } from '../queue/request-queue.js';
import { DeviceState, LoFlag } from '../queue/slots.js';
import { isWatched } from '../store/description.js';
import { type Binding, storeOf } from './binding.js';
import type { CopyJob } from './copy/copy-job.js';
import type { ExportNames } from './export-names.js';
import type { Ledger } from './ledger.js';
import { Openers } from './openers.js';
import { SECTOR } from './parameters.js';
import { Transitions } from './transitions.js';
import type { FaultHit, LoopEvent, LoopState, LoopStatus } from './types.js';

/** What a device needs of the registry it lives in. */
export interface LoopHost {
  readonly order: LockOrder;
  readonly validateMutex: OrderedMutex;
  /** Tells the world of a state that has been reached. Called with no lock held. */
  announce(core: LoopCore, kind: LoopEvent['kind']): void;
  /** The device that a device number means when it is that of an attached device of ours. */
  ownDevice(rdev: bigint): LoopCore | undefined;
  readonly names: ExportNames;
  /** Undefined: nobody comes after us. */
  ledger(): Ledger | undefined;
  /** Where what overlays know outlives this process; undefined: nowhere. */
  mapDirectory(): string | undefined;
  /** Every device, by number. */
  devices(): readonly LoopCore[];
  /** Tells the world of a request that met a fault. */
  announceHit(core: LoopCore, hit: FaultHit): void;
  /** A failure that nobody waits for. */
  report(core: LoopCore, error: unknown): void;
  onThaw(): void;
}

/** What is done with loMutex held; tells the event that follows, if one does. */
type Change = () => Promise<LoopEvent['kind'] | undefined>;

/** Of work that may wait for I/O, its own or that of whoever has a lock it needs: called before it waits. */
export interface Waiting {
  readonly onWait?: () => void;
}

/** Which state may follow which. */
const NEXT: Readonly<Record<LoopState, readonly LoopState[]>> = {
  unbound: ['bound', 'deleting'],
  bound: ['rundown'],
  // Back, where it can't be written that the file is let go of.
  rundown: ['unbound', 'bound'],
  deleting: [],
};

/**
 * The state of one device, shared by the files that implement its operations.
 *
 * `state` and `binding` change with loMutex held, in one step without an await, so a look at them needs no lock;
 * what the data path sees of them changes while the queue is frozen.
 */
export class LoopCore {
  readonly name: string;
  readonly loMutex: OrderedMutex;
  readonly openers: Openers;
  readonly queue: RequestQueue;
  /** What clients changed since the device was bound. */
  readonly dirty: DirtyMap;
  /** Configure and clear in progress: what a deferred open waits for. */
  readonly transitions = new Transitions();
  /** A clear by force waits for what does not answer. */
  isHanging = false;
  /** The copy that runs, or ran last. */
  copy: CopyJob | undefined;
  /** Its file is lost, by this errno, and is to be had back: nothing is served. */
  lost: number | undefined;
  /** The binding that an opener let go of while others still had the device open. */
  released: Binding['id'] | undefined;
  readonly #operations = new Set<Promise<unknown>>();
  #state: LoopState = 'unbound';
  #binding: Binding | undefined;
  #generation = 0;

  constructor(
    readonly number: number,
    readonly host: LoopHost,
  ) {
    this.name = `loop${number}`;
    this.loMutex = new OrderedMutex(host.order, 'loMutex', this.name);
    this.openers = new Openers(host.order, this.name);
    this.queue = new RequestQueue({ order: host.order, name: this.name, onThaw: () => host.onThaw() });
    this.dirty = new DirtyMap(this.queue.shared);
  }

  get state(): LoopState {
    return this.#state;
  }

  get binding(): Binding | undefined {
    return this.#binding;
  }

  /** What its requests may wait for; '' while nothing is bound. */
  get domain(): string {
    return this.#binding?.file.domain ?? '';
  }

  /** The binding of a bound device. Throws ENXIO otherwise. */
  bound(): Binding {
    if (this.#state === 'bound' && this.#binding !== undefined) return this.#binding;
    throw new LoopError('ENXIO', `${this.name} has no backing file.`);
  }

  /** Caller holds loMutex. */
  enterState(state: LoopState): void {
    if (!NEXT[this.#state].includes(state)) {
      throw new Error(`${this.name} can't go from ${this.#state} to ${state}.`);
    }
    this.#state = state;
  }

  /** What no request looks at. Caller holds loMutex. */
  setUnseen(
    unseen: Partial<Pick<Binding, 'autoclear' | 'partscan' | 'exportName' | 'description' | 'superseded'>>,
  ): void {
    this.#binding = { ...this.bound(), ...unseen };
  }

  /**
   * Has `publish` replace what is served, after that was written down. Rejects when it can't be written, or the export's
   * name is another device's (EEXIST), and then nothing has changed. Caller holds loMutex.
   */
  async replace(binding: Binding, publish: () => Promise<void>): Promise<void> {
    const { names } = this.host;
    names.claim(this.number, binding.exportName);
    try {
      await this.note(binding);
      await publish().catch(async (error: unknown) => {
        await this.#noteAgain(binding);
        throw error;
      });
    } finally {
      names.settle(this.number, this.#binding?.exportName ?? null);
    }
  }

  /** Writes a binding down for a daemon that comes after this one. Caller holds loMutex. */
  async note(binding: Binding): Promise<void> {
    await this.host.ledger()?.note(this.number, binding);
  }

  /** What was written has not come to be. */
  async #noteAgain(never: Binding): Promise<void> {
    if (this.#binding === undefined) await this.host.ledger()?.forgetAnyway(this.number, never);
    else await this.note(this.#binding).catch((error: unknown) => this.host.report(this, error));
  }

  /** Replaces what is served, for the control and the data path. The queue is frozen. */
  publish(frozen: Frozen, binding: Binding | undefined): void {
    this.#followDirty(binding);
    this.#binding = binding;
    if (binding === undefined) this.host.names.settle(this.number, null);
    this.#generation++;
    frozen.publish({
      state: binding === undefined || this.lost !== undefined ? DeviceState.UNBOUND : DeviceState.BOUND,
      fd: this.lost === undefined ? (binding?.file.fd ?? -1) : -1,
      lost: this.lost,
      flags: flagsOf(binding),
      blockSize: binding?.blockSize ?? SECTOR,
      dioAlignment: binding?.file.dioAlignment ?? SECTOR,
      offset: Number(binding?.offset ?? 0n),
      size: binding?.size ?? 0,
      generation: this.#generation,
      store: binding && this.lost === undefined ? storeOf(binding) : undefined,
    });
  }

  /** What the dirty map says must hold for what is served from now on. The queue is frozen. */
  #followDirty(next: Binding | undefined): void {
    const before = this.#binding;
    if (next === undefined) return;
    if (before?.id !== next.id) this.dirty.reset(next.size);
    else if (before.file !== next.file || before.offset !== next.offset) this.dirty.fill(next.size);
    else this.dirty.resize(next.size);
  }

  /** Runs one operation as a task of the lock validator. */
  task<T>(operation: string, work: () => Promise<T>): Promise<T> {
    return this.#underWay(this.host.order.task(`${operation} ${this.name}`, work));
  }

  /** The same for one that whoever causes it does not wait for; it inherits none of their locks. Rejects as `work`. */
  detached<T>(operation: string, work: () => Promise<T>): Promise<T> {
    return this.#underWay(this.host.order.detached(`${operation} ${this.name}`, work));
  }

  /** Resolves when no operation is under way, also none that nobody waits for. */
  async idle(): Promise<void> {
    while (this.#operations.size > 0) await Promise.allSettled(this.#operations);
  }

  /** Work that nobody waits for but `idle`. */
  goingOn<T>(work: Promise<T>): Promise<T> {
    return this.#underWay(work);
  }

  #underWay<T>(operation: Promise<T>): Promise<T> {
    this.#operations.add(operation);
    const ended = (): void => void this.#operations.delete(operation);
    void operation.then(ended, ended);
    return operation;
  }

  /**
   * Runs a change under loMutex and announces what it returns, when the lock is dropped and before anybody else
   * can have it: the event finds the device in the state it tells of.
   */
  async exclusive(change: Change, waiting: Waiting = {}): Promise<void> {
    const held = await this.loMutex.acquire(waiting);
    await this.#announcing([held], change);
  }

  /**
   * `exclusive` with validateMutex around it: what it looks at in other devices stays as it is. Who has loMutex may wait
   * for a file system that hangs, and all devices share validateMutex: it is never held while loMutex is waited for.
   */
  async globallyExclusive(change: Change, waiting: Waiting = {}): Promise<void> {
    for (;;) {
      using validate = await this.host.validateMutex.acquire(waiting);
      if (!this.loMutex.locked) {
        const held = await this.loMutex.acquire(waiting);
        await this.#announcing([held, validate], change);
        return;
      }
      validate.release();
      (await this.loMutex.acquire(waiting)).release();
    }
  }

  async #announcing(locks: readonly Held[], change: Change): Promise<void> {
    let kind: LoopEvent['kind'] | undefined;
    try {
      kind = await change();
    } finally {
      for (const lock of locks) lock.release();
    }
    if (kind !== undefined) this.host.announce(this, kind);
  }

  get #hanging(): string[] {
    return this.isHanging ? [HANGING] : [];
  }

  get #isLost(): string[] {
    if (this.lost === undefined) return [];
    return [`its file is lost (${errnoName(this.lost)}): nothing is served until it can be had again`];
  }

  /** The device at this moment. */
  snapshot(): LoopStatus {
    const binding = this.#binding;
    return {
      number: this.number,
      name: this.name,
      uuid: binding?.id ?? null,
      state: this.#state,
      openers: this.openers.count,
      file: binding?.file.path ?? null,
      size: binding?.size ?? 0,
      offset: toWholeNumber(binding?.offset ?? 0n),
      sizeLimit: toWholeNumber(binding?.sizeLimit ?? 0n),
      blockSize: binding?.blockSize ?? SECTOR,
      readOnly: binding?.readOnly ?? false,
      autoclear: binding?.autoclear ?? false,
      partscan: binding?.partscan ?? false,
      directIo: binding?.directIo ?? false,
      reference: binding?.reference ?? null,
      exportName: binding?.exportName ?? null,
      description: binding?.description ?? null,
      backingInode: binding?.file.identity.inode ?? null,
      backingDevice: binding?.file.identity.device ?? null,
      dioAlignment: binding?.file.dioAlignment ?? SECTOR,
      delta: binding?.file.overlay?.delta ?? null,
      layers: binding === undefined ? 0 : (binding.file.overlay?.depth ?? 1),
      generation: this.#generation,
      warnings:
        binding === undefined
          ? []
          : [...this.#hanging, ...this.#isLost, ...binding.file.warnings, ...binding.notes],
    };
  }
}

const HANGING =
  'it hangs: it was cleared by force, and lets go of its file when requests that are under way have come to an end';

/** The `LoFlag` bits that matter to a request. */
function flagsOf(binding: Binding | undefined): number {
  if (binding === undefined) return 0;
  const { readOnly, directIo, file, isFenced } = binding;
  return (
    (readOnly ? LoFlag.READ_ONLY : 0) |
    (directIo ? LoFlag.DIRECT_IO : 0) |
    (file.tellsHoles ? LoFlag.TELLS_HOLES : 0) |
    (isWatched(binding.wrappers) ? LoFlag.WATCHED : 0) |
    (isFenced ? LoFlag.FENCED : 0)
  );
}
