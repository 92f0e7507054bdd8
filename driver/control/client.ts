/** The control API as calls. The command line programs use nothing else. */

import type {
  AttachRequest,
  ClearAnswer,
  ConfigureRequest,
  ConnectionInfo,
  ControlEvent,
  CopyAnswer,
  CopyRequest,
  DaemonInfo,
  DeviceFreeze,
  DeviceNumber,
  DeviceStatus,
  FaultRule,
  FaultsAnswer,
  FindRequest,
  LayerAnswer,
  Limits,
  LimitsChange,
  LockdepAnswer,
  MeantFile,
  PageAddress,
  PowerCutAnswer,
  PowerCutRequest,
  RecoverRequest,
  ReleaseRequest,
  RemoteAttachRequest,
  RemoteStatus,
  SettingsRequest,
  SnapshotAnswer,
  SnapshotRequest,
  UnrecoveredDevice,
} from './messages.js';
import { Transport } from './transport.js';

export { OpenMeantFile } from './meant-file.js';
export { CONTROL_SOCKET, defaultRunDirectory } from './run-directory.js';
export { ControlError } from './transport.js';

interface Force {
  readonly force?: boolean;
}

const forceOf = ({ force }: Force): string => (force === true ? '?force=true' : '');

export class ControlClient {
  readonly #daemon: Transport;

  /** `looked`: where else a daemon was looked for, and what was there. */
  constructor(
    readonly socketPath: string,
    readonly looked: readonly string[] = [],
  ) {
    this.#daemon = new Transport(socketPath, looked);
  }

  daemon(): Promise<DaemonInfo> {
    return this.#daemon.json('GET', '/daemon');
  }

  list(): Promise<DeviceStatus[]> {
    return this.#daemon.json('GET', '/devices');
  }

  device(number: number): Promise<DeviceStatus> {
    return this.#daemon.json('GET', `/devices/${number}`);
  }

  /** Devices of an earlier daemon that could not be brought back. */
  unrecovered(): Promise<UnrecoveredDevice[]> {
    return this.#daemon.json('GET', '/devices/unrecovered');
  }

  recover(number: number, options: RecoverRequest = {}): Promise<DeviceStatus> {
    return this.#daemon.json('POST', `/devices/${number}/recover`, options);
  }

  add(number?: number): Promise<DeviceNumber> {
    return this.#daemon.json('POST', '/devices', number === undefined ? {} : { number });
  }

  async remove(number: number): Promise<void> {
    await this.#daemon.text('DELETE', `/devices/${number}`);
  }

  free(): Promise<DeviceNumber> {
    return this.#daemon.json('GET', '/devices/free');
  }

  find(config: FindRequest): Promise<DeviceStatus> {
    return this.#daemon.json('POST', '/devices/find', config);
  }

  configure(number: number, config: ConfigureRequest): Promise<DeviceStatus> {
    return this.#daemon.json('PUT', `/devices/${number}/backing`, config);
  }

  move(number: number, file: string, rate = 0): Promise<CopyAnswer> {
    return this.#daemon.json('POST', `/devices/${number}/move`, { file, rate });
  }

  flatten(number: number, request: CopyRequest = {}): Promise<CopyAnswer> {
    return this.#daemon.json('POST', `/devices/${number}/flatten`, request);
  }

  commit(number: number, rate = 0): Promise<CopyAnswer> {
    return this.#daemon.json('POST', `/devices/${number}/commit`, { rate });
  }

  /** How the copy that runs, or ran last, goes. */
  copyStatus(number: number): Promise<CopyAnswer> {
    return this.#daemon.json('GET', `/devices/${number}/copy`);
  }

  cancelCopy(number: number): Promise<CopyAnswer> {
    return this.#daemon.json('DELETE', `/devices/${number}/copy`);
  }

  /** Snapshots of devices at one instant. */
  snapshot(request: SnapshotRequest): Promise<SnapshotAnswer[]> {
    return this.#daemon.json('POST', '/snapshots', request);
  }

  /** The files that a device's bytes are in, from the top to the base. */
  layers(number: number): Promise<LayerAnswer[]> {
    return this.#daemon.json('GET', `/devices/${number}/layers`);
  }

  changeFile(number: number, file: string, meant: Omit<MeantFile, 'file'> = {}): Promise<DeviceStatus> {
    return this.#daemon.json('PATCH', `/devices/${number}/backing`, { ...meant, file });
  }

  clear(number: number, options: Force = {}): Promise<ClearAnswer> {
    return this.#daemon.json('DELETE', `/devices/${number}/backing${forceOf(options)}`);
  }

  settings(number: number, settings: SettingsRequest): Promise<DeviceStatus> {
    return this.#daemon.json('PATCH', `/devices/${number}`, settings);
  }

  directIo(number: number, on: boolean): Promise<DeviceStatus> {
    return this.#daemon.json('PUT', `/devices/${number}/direct-io`, { on });
  }

  /** What `nbdloop:dirty` tells begins anew. */
  resetDirty(number: number): Promise<DeviceStatus> {
    return this.#daemon.json('DELETE', `/devices/${number}/dirty`);
  }

  blockSize(number: number, bytes: number): Promise<DeviceStatus> {
    return this.#daemon.json('PUT', `/devices/${number}/block-size`, { bytes });
  }

  capacity(number: number, options: Force = {}): Promise<DeviceStatus> {
    return this.#daemon.json('POST', `/devices/${number}/capacity${forceOf(options)}`);
  }

  attach(number: number, options: AttachRequest = {}): Promise<DeviceStatus> {
    return this.#daemon.json('POST', `/devices/${number}/attach`, options);
  }

  /** Null for a device that could not be brought back: it stays down, without the kernel. */
  async detach(number: number, options: Force = {}): Promise<DeviceStatus | null> {
    const body = await this.#daemon.text('DELETE', `/devices/${number}/attach${forceOf(options)}`);
    return body === '' ? null : (JSON.parse(body) as DeviceStatus);
  }

  /** The latest first. */
  freezes(number: number): Promise<DeviceFreeze[]> {
    return this.#daemon.json('GET', `/devices/${number}/freezes`);
  }

  connections(): Promise<ConnectionInfo[]> {
    return this.#daemon.json('GET', '/connections');
  }

  /** Where the daemon's page is. ENOENT where it serves none. */
  page(): Promise<PageAddress> {
    return this.#daemon.json('GET', '/web');
  }

  /** The same with a new token: the old one is good for nothing from then on. */
  renewPageToken(): Promise<PageAddress> {
    return this.#daemon.json('POST', '/web/token');
  }

  /** Reads through the export of a device, and asks for the lock of its file; rejects with why that fails. */
  async probe(number: number): Promise<void> {
    await this.#daemon.text('POST', `/devices/${number}/probe`);
  }

  /** Devices of other hosts. */
  remotes(): Promise<RemoteStatus[]> {
    return this.#daemon.json('GET', '/remotes');
  }

  remote(number: number): Promise<RemoteStatus> {
    return this.#daemon.json('GET', `/remotes/${number}`);
  }

  attachRemote(request: RemoteAttachRequest): Promise<RemoteStatus> {
    return this.#daemon.json('POST', '/remotes', request);
  }

  async detachRemote(number: number, options: Force = {}): Promise<void> {
    await this.#daemon.text('DELETE', `/remotes/${number}${forceOf(options)}`);
  }

  volatileCache(number: number, on: boolean): Promise<DeviceStatus> {
    return this.#daemon.json('PUT', `/devices/${number}/volatile-cache`, { on });
  }

  powerCut(number: number, how: PowerCutRequest = {}): Promise<PowerCutAnswer> {
    return this.#daemon.json('POST', `/devices/${number}/power-cut`, how);
  }

  async mark(number: number, name: string): Promise<void> {
    await this.#daemon.text('POST', `/devices/${number}/marks`, { name });
  }

  faults(number: number): Promise<FaultsAnswer> {
    return this.#daemon.json('GET', `/devices/${number}/faults`);
  }

  setFaults(number: number, rules: readonly FaultRule[]): Promise<FaultsAnswer> {
    return this.#daemon.json('PUT', `/devices/${number}/faults`, { rules });
  }

  addFaults(number: number, rules: readonly FaultRule[]): Promise<FaultsAnswer> {
    return this.#daemon.json('POST', `/devices/${number}/faults`, { rules });
  }

  removeFault(number: number, rule: string): Promise<FaultsAnswer> {
    return this.#daemon.json('DELETE', `/devices/${number}/faults/${encodeURIComponent(rule)}`);
  }

  releaseFaults(number: number, request: ReleaseRequest = {}): Promise<FaultsAnswer> {
    return this.#daemon.json('POST', `/devices/${number}/faults/release`, request);
  }

  limits(number: number): Promise<Limits> {
    return this.#daemon.json('GET', `/devices/${number}/limits`);
  }

  setLimits(number: number, change: LimitsChange): Promise<Limits> {
    return this.#daemon.json('PATCH', `/devices/${number}/limits`, change);
  }

  lockdep(): Promise<LockdepAnswer> {
    return this.#daemon.json('GET', '/lockdep');
  }

  /** Settings are read anew; rejects with why they cannot be used. */
  async reload(): Promise<void> {
    await this.#daemon.text('POST', '/reload');
  }

  /** The daemon leaves its devices to a successor, and ends. */
  async handOver(): Promise<void> {
    await this.#daemon.text('POST', '/handover');
  }

  /** Prometheus text. */
  metrics(): Promise<string> {
    return this.#daemon.text('GET', '/metrics');
  }

  /** Changes of devices from now on, until the daemon ends the stream or `signal` aborts it. */
  events(signal?: AbortSignal): AsyncGenerator<ControlEvent, void, undefined> {
    return this.#daemon.events('/events', signal);
  }
}
