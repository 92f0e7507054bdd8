/** Loop devices without files, locks or queues: enough of the driver for tests of what stands on it. */
import { EventEmitter } from 'node:events';
import type {
  ControlContext,
  ControlledAttachments,
  ControlledDevice,
  ControlledLoops,
  ControlledRecovery,
  ControlledRemotes,
  LoopConfigFields,
  LoopStatusFields,
  RemoteFields,
} from '../../../driver/control/context.js';
import type {
  FaultRule,
  FaultState,
  Limits,
  LimitsChange,
  PowerCutAnswer,
  PowerCutRequest,
  RemoteAttachRequest,
  UnrecoveredDevice,
} from '../../../driver/control/messages.js';
import { exportUris } from '../../../driver/control/uris.js';
import { LoopError } from '../../../driver/errno.js';
import { LockOrder } from '../../../driver/locks/lock-order.js';
import { FreezeLog } from '../../../driver/queue/freeze-log.js';
import { SHARED_BYTES } from '../../../driver/queue/slots.js';
import { changedLimits } from '../../../driver/store/limits/check-limits.js';
import { NO_LIMITS } from '../../../driver/store/limits/limits.js';

const UNBOUND = {
  uuid: null,
  state: 'unbound',
  openers: 0,
  file: null,
  size: 0,
  offset: 0,
  sizeLimit: 0,
  blockSize: 512,
  readOnly: false,
  autoclear: false,
  partscan: false,
  directIo: false,
  reference: null,
  exportName: null,
  description: null,
  backingInode: null,
  backingDevice: null,
  dioAlignment: 512,
  delta: null,
  layers: 0,
  generation: 0,
  warnings: [],
} as const satisfies Omit<LoopStatusFields, 'number' | 'name'>;

/** All that goes without saying of a rule. */
const RULE = {
  errno: null,
  delay: null,
  sectors: null,
  to: null,
  bits: null,
  operations: ['read'],
  ranges: [],
  fua: false,
  after: 0,
  every: 1,
  probability: 1,
  count: null,
  seed: 1,
} as const;

/** Every file has a mebibyte, and the inode 7 on device 0xfe00 unless told. */
export class FakeDevice implements ControlledDevice {
  readonly queue = { shared: new SharedArrayBuffer(SHARED_BYTES), freezes: new FreezeLog(() => 0) };
  readonly name: string;
  readonly calls: unknown[] = [];
  status: LoopStatusFields;

  constructor(readonly number: number) {
    this.name = `loop${number}`;
    this.status = { number, name: this.name, ...UNBOUND };
  }

  get openers(): number {
    return this.status.openers;
  }

  async loopConfigure(config: LoopConfigFields): Promise<void> {
    this.calls.push(['configure', config]);
    if (this.status.file !== null)
      throw new LoopError('EBUSY', `${this.name} is bound to ${this.status.file}`);
    if (config.file.includes('missing'))
      throw new LoopError('EBADF', `${this.name}: ${config.file}: no such file`);
    const {
      offset = 0,
      sizeLimit = 0,
      identity: _identity,
      through: _through,
      exclusive: _exclusive,
      ...rest
    } = config;
    this.#set({
      ...rest,
      uuid: `uuid of ${rest.file}`,
      state: 'bound',
      size: 1 << 20,
      offset: Number(offset),
      sizeLimit: Number(sizeLimit),
      backingInode: 7n,
      backingDevice: 0xfe00n,
    });
  }

  async loopChangeFd(file: string): Promise<void> {
    this.#bound();
    this.#set({ file });
  }

  async loopClrFd(options: { force?: boolean } = {}): Promise<'cleared' | 'deferred'> {
    this.calls.push(['clear', options.force ?? false]);
    this.#bound();
    if (this.status.openers > 0 && options.force !== true) {
      this.#set({ autoclear: true });
      return 'deferred';
    }
    this.#set({ ...UNBOUND, openers: this.status.openers });
    return 'cleared';
  }

  async loopSetStatus(settings: { autoclear?: boolean; partscan?: boolean }): Promise<void> {
    this.calls.push(['settings', settings]);
    this.#bound();
    const { autoclear = this.status.autoclear, partscan = this.status.partscan } = settings;
    this.#set({ autoclear, partscan });
  }

  async loopGetStatus(): Promise<LoopStatusFields> {
    this.#bound();
    return this.status;
  }

  async idle(): Promise<void> {}

  async describe(): Promise<LoopStatusFields> {
    return this.status;
  }

  async loopSetCapacity(): Promise<void> {
    this.calls.push(['capacity']);
    this.#bound();
  }

  async loopSetDio(on: boolean): Promise<void> {
    this.#bound();
    this.#set({ directIo: on });
  }

  async loopResetDirty(): Promise<void> {
    this.#bound();
  }

  async move(): Promise<void> {}
  async flatten(): Promise<void> {}
  async commit(): Promise<void> {}
  async cancelCopy(): Promise<void> {}
  copyStatus(): null {
    return null;
  }

  layers() {
    const { file: path, size } = this.status;
    if (path === null) throw new LoopError('ENXIO', `${this.name} has no backing file.`);
    const identity = { inode: 1n, device: 1n };
    return [{ kind: 'base', path, uuid: null, identity, blockSize: null, heldBlocks: null, size } as const];
  }

  async loopSetBlockSize(bytes: number): Promise<void> {
    this.#bound();
    this.#set({ blockSize: bytes });
  }

  rules: FaultRule[] = [];
  limits: Limits = NO_LIMITS;

  loopFaults(): FaultState[] {
    return this.rules.map(
      (rule, index) => ({ ...RULE, id: String(index + 1), ...rule, seen: 0, hits: 0, held: 0 }) as FaultState,
    );
  }

  async loopSetFaults(rules: readonly FaultRule[]): Promise<void> {
    this.#bound();
    this.rules = [...rules];
  }

  async loopAddFaults(rules: readonly FaultRule[]): Promise<void> {
    this.#bound();
    this.rules.push(...rules);
  }

  async loopRemoveFaults(ids: readonly string[]): Promise<void> {
    this.#bound();
    this.rules = this.rules.filter((_, index) => !ids.includes(String(index + 1)));
  }

  async loopReleaseFaults(id?: string): Promise<void> {
    this.calls.push(['release', id]);
    this.#bound();
  }

  volatileCache = false;
  writeLog: string | null = null;

  async loopSetVolatile(on: boolean): Promise<void> {
    this.#bound();
    this.volatileCache = on;
  }

  async loopSetLog(file: string | null): Promise<void> {
    this.#bound();
    this.writeLog = file;
  }

  async loopMark(name: string): Promise<void> {
    this.calls.push(['mark', name]);
    this.#bound();
  }

  async loopPowerCut(
    { keep = 'none', seed = 1, tear = false }: PowerCutRequest,
    sever: () => Promise<boolean>,
  ): Promise<PowerCutAnswer> {
    this.#bound();
    await sever();
    return { keep, seed, tear, writes: 0, kept: 0, torn: 0 };
  }

  loopLimits(): Limits {
    return this.limits;
  }

  async loopSetLimits(change: LimitsChange): Promise<void> {
    this.#bound();
    this.limits = changedLimits(this.limits, change);
  }

  #bound(): void {
    if (this.status.file === null) throw new LoopError('ENXIO', `${this.name} is not bound to a file`);
  }

  #set(change: Partial<LoopStatusFields>): void {
    this.status = { ...this.status, ...change };
  }
}

export class FakeLoops implements ControlledLoops {
  readonly all: FakeDevice[] = [];
  readonly events = new EventEmitter();

  async ctlAdd(number = -1): Promise<number> {
    const added = number < 0 ? this.all.length : number;
    if (this.all.some((device) => device.number === added))
      throw new LoopError('EEXIST', `loop${added} exists`);
    this.all.push(new FakeDevice(added));
    return added;
  }

  async ctlRemove(number: number): Promise<void> {
    const device = this.device(number);
    if (device.status.file !== null) throw new LoopError('EBUSY', `loop${number} is bound`);
    this.all.splice(this.all.indexOf(device), 1);
  }

  async ctlGetFree(): Promise<number> {
    return this.all.find((device) => device.status.file === null)?.number ?? this.ctlAdd();
  }

  async snapshot(targets: readonly { number: number; file: string }[]) {
    const times = { waitedMs: 1.5, drainedMs: 0.5, syncedMs: 0.25 };
    return targets.map(
      ({ number, file }) => ({ number, file, kind: 'clone', delta: null, ...times }) as const,
    );
  }

  async findAndConfigure(config: LoopConfigFields): Promise<LoopStatusFields> {
    const device = this.device(await this.ctlGetFree());
    await device.loopConfigure(config);
    return device.status;
  }

  device(number: number): FakeDevice {
    const found = this.all.find((device) => device.number === number);
    if (found === undefined) throw new LoopError('ENODEV', `there is no device loop${number}`);
    return found;
  }

  devices(): readonly FakeDevice[] {
    return this.all;
  }
}

/** A kernel that attaches anything; `used` holds the devices that somebody uses. */
export class FakeAttachments implements ControlledAttachments {
  readonly attached = new Set<number>();
  readonly used = new Set<number>();
  /** Nodes that another NBD client has. */
  readonly taken = new Set<number>();
  /** Why nothing can be attached here. */
  obstacle: LoopError | undefined;
  readonly calls: unknown[] = [];

  node(device: number): string | null {
    return this.attached.has(device) ? `/dev/nbd${device}` : null;
  }

  async attach(device: number): Promise<string> {
    if (this.obstacle !== undefined) throw this.obstacle;
    if (this.taken.has(device)) throw new LoopError('EBUSY', `loop${device}: /dev/nbd${device} is in use`);
    this.attached.add(device);
    return `/dev/nbd${device}`;
  }

  async detach(device: number, options: { force?: boolean } = {}): Promise<void> {
    this.calls.push(['detach', device]);
    if (!this.attached.has(device))
      throw new LoopError('ENXIO', `loop${device} is not attached to the kernel`);
    if (this.used.has(device) && options.force !== true)
      throw new LoopError('EBUSY', `loop${device} is in use`);
    this.attached.delete(device);
  }

  async isClaimed(device: number): Promise<boolean> {
    return this.used.has(device);
  }

  async detachAtLastClose(device: number): Promise<boolean> {
    this.calls.push(['detachAtLastClose', device]);
    if (this.used.has(device)) return false;
    this.attached.delete(device);
    return true;
  }

  async users(): Promise<string> {
    return 'mounted on /mnt';
  }

  async inUse(device: number): Promise<boolean> {
    return this.used.has(device);
  }

  async resized(device: number, size: number): Promise<void> {
    this.calls.push(['resized', device, size]);
  }

  async rebound(device: number, { size }: { size: number }): Promise<void> {
    this.calls.push(['rebound', device, size]);
  }

  async limited(): Promise<void> {}

  async contentChanged(device: number): Promise<void> {
    this.calls.push(['contentChanged', device]);
  }

  async disconnectOnClose(device: number, on: boolean): Promise<boolean> {
    this.calls.push(['disconnectOnClose', device, on]);
    return true;
  }
}

/** Numbers that are down, and what was asked for. */
export class FakeRecovery implements ControlledRecovery {
  readonly down = new Map<number, UnrecoveredDevice>();
  readonly calls: unknown[] = [];

  constructor(private readonly loops: FakeLoops) {}

  /** A device that could not be brought back. */
  fail(number: number): UnrecoveredDevice {
    const device: UnrecoveredDevice = {
      ...{ number, name: `loop${number}`, uuid: 'u', exportName: null, file: '/moved.img', node: null },
      ...{ errno: 'ESTALE', message: '/moved.img is another file by now.' },
    };
    this.down.set(number, device);
    return device;
  }

  list(): UnrecoveredDevice[] {
    return [...this.down.values()];
  }

  isDown(number: number): boolean {
    return this.down.has(number);
  }

  async recover(number: number, options: object): Promise<void> {
    this.calls.push(['recover', number, options]);
    if (!this.down.delete(number)) throw new LoopError('EBUSY', `loop${number} is not down`);
    await this.loops.ctlAdd(number);
    await this.loops.device(number).loopConfigure({ file: '/found.img' });
  }

  async giveUp(number: number, options: object): Promise<'cleared'> {
    this.calls.push(['giveUp', number, options]);
    this.down.delete(number);
    return 'cleared';
  }
}

/** Devices of other hosts that were asked for; one whose URI ends in `/gone` has no server. */
export class FakeRemotes implements ControlledRemotes {
  readonly events = new EventEmitter<{ change: [number: number, remote: RemoteFields | null] }>();
  readonly devices = new Map<number, RemoteFields>();
  readonly used = new Set<number>();
  readonly calls: unknown[] = [];

  list(): RemoteFields[] {
    return [...this.devices.values()];
  }

  get(number: number): RemoteFields {
    const found = this.devices.get(number);
    if (found === undefined) throw new LoopError('ENODEV', `/dev/nbd${number} is no device of another host`);
    return found;
  }

  async attach(uris: readonly string[], options: Omit<RemoteAttachRequest, 'uris'>): Promise<RemoteFields> {
    this.calls.push(['attach', uris, options]);
    const [uri = ''] = uris;
    if (uri.endsWith('/gone')) throw new LoopError('ECONNREFUSED', 'a:10809: connect: ECONNREFUSED');
    const number = this.devices.size;
    const facts = { size: 1 << 20, uuid: null, description: null };
    const remote: RemoteFields = {
      record: { number, uris, connections: options.connections ?? 1, timeout: 0, deadTimeout: 120, facts },
      state: 'attached',
      since: 0,
      address: { uri },
      problem: null,
      losses: 0,
      awayMs: 0,
      transitions: [],
      isInKernel: true,
      isReadOnly: options.readOnly ?? false,
    };
    this.devices.set(number, remote);
    this.events.emit('change', number, remote);
    return remote;
  }

  async detach(number: number, options: { readonly force?: boolean }): Promise<void> {
    this.get(number);
    if (this.used.has(number) && options.force !== true) {
      throw new LoopError('EBUSY', `/dev/nbd${number} is in use`);
    }
    this.devices.delete(number);
    this.events.emit('change', number, null);
  }
}

export interface FakeContext extends ControlContext {
  readonly loops: FakeLoops;
  readonly attachments: FakeAttachments;
  readonly recovery: FakeRecovery;
  readonly remotes: FakeRemotes;
  readonly logged: string[];
}

export function fakeContext(): FakeContext {
  const order = new LockOrder();
  const logged: string[] = [];
  const loops = new FakeLoops();
  return {
    loops,
    attachments: new FakeAttachments(),
    recovery: new FakeRecovery(loops),
    remotes: new FakeRemotes(),
    probe: async (number) => {
      if ((await loops.device(number).describe()).state !== 'bound') {
        throw new LoopError('ENXIO', `loop${number} has no file`);
      }
    },
    logged,
    log: { error: (_fields, message) => logged.push(message), info: () => undefined },
    uris: (name) =>
      exportUris({ unix: ['/run/n.sock'], tcp: [{ host: '127.0.0.1', port: 10_809 }], tls: false }, name),
    daemon: () => ({
      version: '1.2.3',
      pid: 42,
      descriptorLimit: 1024,
      startedAt: '2026-01-01T00:00:00Z',
      listeners: [],
      connections: 3,
      reactors: 1,
      settings: { loadedAt: '2026-01-01T00:00:00.000Z', error: null },
    }),
    connections: () => [
      { id: 1, peer: '127.0.0.1:40000', export: 'loop0', since: '2026-01-01T00:00:00.000Z' },
    ],
    page: null,
    lockdep: () => order.snapshot(),
    endSessions: async () => true,
    reload: async () => undefined,
    handOver: () => undefined,
  };
}
