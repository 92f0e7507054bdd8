/** Speaks the control API: HTTP/1.1 over the daemon's Unix socket. The command line programs use nothing else. */

import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { seeDoctor } from '../see-doctor.js';
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
  ErrorBody,
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

export { OpenMeantFile } from './meant-file.js';
export { CONTROL_SOCKET, defaultRunDirectory } from './run-directory.js';

/** A refusal by the daemon, or a daemon that cannot be reached: an errno name and one plain sentence. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
  constructor(
    readonly errno: string,
    message: string,
  ) {
    super(message);
  }
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** An answer longer than this is not ours (a list of 10 000 devices is under 10 MiB). */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export class ControlClient {
  /** `looked`: where else a daemon was looked for, and what was there. */
  constructor(
    readonly socketPath: string,
    readonly looked: readonly string[] = [],
  ) {}

  daemon(): Promise<DaemonInfo> {
    return this.#json('GET', '/daemon');
  }

  list(): Promise<DeviceStatus[]> {
    return this.#json('GET', '/devices');
  }

  device(number: number): Promise<DeviceStatus> {
    return this.#json('GET', `/devices/${number}`);
  }

  /** Devices of an earlier daemon that could not be brought back. */
  unrecovered(): Promise<UnrecoveredDevice[]> {
    return this.#json('GET', '/devices/unrecovered');
  }

  recover(number: number, options: RecoverRequest = {}): Promise<DeviceStatus> {
    return this.#json('POST', `/devices/${number}/recover`, options);
  }

  add(number?: number): Promise<DeviceNumber> {
    return this.#json('POST', '/devices', number === undefined ? {} : { number });
  }

  async remove(number: number): Promise<void> {
    await this.#text('DELETE', `/devices/${number}`);
  }

  free(): Promise<DeviceNumber> {
    return this.#json('GET', '/devices/free');
  }

  find(config: FindRequest): Promise<DeviceStatus> {
    return this.#json('POST', '/devices/find', config);
  }

  configure(number: number, config: ConfigureRequest): Promise<DeviceStatus> {
    return this.#json('PUT', `/devices/${number}/backing`, config);
  }

  move(number: number, file: string, rate = 0): Promise<CopyAnswer> {
    return this.#json('POST', `/devices/${number}/move`, { file, rate });
  }

  flatten(number: number, request: CopyRequest = {}): Promise<CopyAnswer> {
    return this.#json('POST', `/devices/${number}/flatten`, request);
  }

  commit(number: number, rate = 0): Promise<CopyAnswer> {
    return this.#json('POST', `/devices/${number}/commit`, { rate });
  }

  /** How the copy that runs, or ran last, goes. */
  copyStatus(number: number): Promise<CopyAnswer> {
    return this.#json('GET', `/devices/${number}/copy`);
  }

  cancelCopy(number: number): Promise<CopyAnswer> {
    return this.#json('DELETE', `/devices/${number}/copy`);
  }

  /** Snapshots of devices at one instant. */
  snapshot(request: SnapshotRequest): Promise<SnapshotAnswer[]> {
    return this.#json('POST', '/snapshots', request);
  }

  /** The files that a device's bytes are in, from the top to the base. */
  layers(number: number): Promise<LayerAnswer[]> {
    return this.#json('GET', `/devices/${number}/layers`);
  }

  changeFile(number: number, file: string, meant: Omit<MeantFile, 'file'> = {}): Promise<DeviceStatus> {
    return this.#json('PATCH', `/devices/${number}/backing`, { ...meant, file });
  }

  clear(number: number, options: { force?: boolean } = {}): Promise<ClearAnswer> {
    return this.#json('DELETE', `/devices/${number}/backing${options.force === true ? '?force=true' : ''}`);
  }

  settings(number: number, settings: SettingsRequest): Promise<DeviceStatus> {
    return this.#json('PATCH', `/devices/${number}`, settings);
  }

  directIo(number: number, on: boolean): Promise<DeviceStatus> {
    return this.#json('PUT', `/devices/${number}/direct-io`, { on });
  }

  /** What `nbdloop:dirty` tells begins anew. */
  resetDirty(number: number): Promise<DeviceStatus> {
    return this.#json('DELETE', `/devices/${number}/dirty`);
  }

  blockSize(number: number, bytes: number): Promise<DeviceStatus> {
    return this.#json('PUT', `/devices/${number}/block-size`, { bytes });
  }

  capacity(number: number, options: { force?: boolean } = {}): Promise<DeviceStatus> {
    return this.#json('POST', `/devices/${number}/capacity${options.force === true ? '?force=true' : ''}`);
  }

  attach(number: number, options: AttachRequest = {}): Promise<DeviceStatus> {
    return this.#json('POST', `/devices/${number}/attach`, options);
  }

  /** Null for a device that could not be brought back: it stays down, without the kernel. */
  async detach(number: number, options: { force?: boolean } = {}): Promise<DeviceStatus | null> {
    const query = options.force === true ? '?force=true' : '';
    const body = await this.#text('DELETE', `/devices/${number}/attach${query}`);
    return body === '' ? null : (JSON.parse(body) as DeviceStatus);
  }

  /** The latest first. */
  freezes(number: number): Promise<DeviceFreeze[]> {
    return this.#json('GET', `/devices/${number}/freezes`);
  }

  connections(): Promise<ConnectionInfo[]> {
    return this.#json('GET', '/connections');
  }

  /** Where the daemon's page is. ENOENT where it serves none. */
  page(): Promise<PageAddress> {
    return this.#json('GET', '/web');
  }

  /** The same with a new token: the old one is good for nothing from then on. */
  renewPageToken(): Promise<PageAddress> {
    return this.#json('POST', '/web/token');
  }

  /** Reads through the export of a device, and asks for the lock of its file; rejects with why that fails. */
  async probe(number: number): Promise<void> {
    await this.#text('POST', `/devices/${number}/probe`);
  }

  /** Devices of other hosts. */
  remotes(): Promise<RemoteStatus[]> {
    return this.#json('GET', '/remotes');
  }

  remote(number: number): Promise<RemoteStatus> {
    return this.#json('GET', `/remotes/${number}`);
  }

  attachRemote(request: RemoteAttachRequest): Promise<RemoteStatus> {
    return this.#json('POST', '/remotes', request);
  }

  async detachRemote(number: number, options: { force?: boolean } = {}): Promise<void> {
    await this.#text('DELETE', `/remotes/${number}${options.force === true ? '?force=true' : ''}`);
  }

  volatileCache(number: number, on: boolean): Promise<DeviceStatus> {
    return this.#json('PUT', `/devices/${number}/volatile-cache`, { on });
  }

  powerCut(number: number, how: PowerCutRequest = {}): Promise<PowerCutAnswer> {
    return this.#json('POST', `/devices/${number}/power-cut`, how);
  }

  async mark(number: number, name: string): Promise<void> {
    await this.#text('POST', `/devices/${number}/marks`, { name });
  }

  faults(number: number): Promise<FaultsAnswer> {
    return this.#json('GET', `/devices/${number}/faults`);
  }

  setFaults(number: number, rules: readonly FaultRule[]): Promise<FaultsAnswer> {
    return this.#json('PUT', `/devices/${number}/faults`, { rules });
  }

  addFaults(number: number, rules: readonly FaultRule[]): Promise<FaultsAnswer> {
    return this.#json('POST', `/devices/${number}/faults`, { rules });
  }

  removeFault(number: number, rule: string): Promise<FaultsAnswer> {
    return this.#json('DELETE', `/devices/${number}/faults/${encodeURIComponent(rule)}`);
  }

  releaseFaults(number: number, request: ReleaseRequest = {}): Promise<FaultsAnswer> {
    return this.#json('POST', `/devices/${number}/faults/release`, request);
  }

  limits(number: number): Promise<Limits> {
    return this.#json('GET', `/devices/${number}/limits`);
  }

  setLimits(number: number, change: LimitsChange): Promise<Limits> {
    return this.#json('PATCH', `/devices/${number}/limits`, change);
  }

  lockdep(): Promise<LockdepAnswer> {
    return this.#json('GET', '/lockdep');
  }

  /** Settings are read anew; rejects with why they cannot be used. */
  async reload(): Promise<void> {
    await this.#text('POST', '/reload');
  }

  /** The daemon leaves its devices to a successor, and ends. */
  async handOver(): Promise<void> {
    await this.#text('POST', '/handover');
  }

  /** Prometheus text. */
  metrics(): Promise<string> {
    return this.#text('GET', '/metrics');
  }

  /** Changes of devices from now on, until the daemon ends the stream or `signal` aborts it. */
  async *events(signal?: AbortSignal): AsyncGenerator<ControlEvent, void, undefined> {
    const response = await this.#send('GET', '/events', undefined, signal);
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const blocks = (rest + chunk).split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) {
          const data = eventData(block);
          if (data !== undefined) yield JSON.parse(data) as ControlEvent;
        }
      }
    } catch (error) {
      if (signal?.aborted !== true) throw this.#unreachable(error);
    }
  }

  async #json<T>(method: Method, path: string, body?: unknown): Promise<T> {
    return JSON.parse(await this.#text(method, path, body)) as T;
  }

  async #text(method: Method, path: string, body?: unknown): Promise<string> {
    const response = await this.#send(method, path, body);
    try {
      return await readAll(response);
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  /** Resolves with the answer's head; a refusal rejects with its ControlError. */
  async #send(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = request({
      socketPath: this.socketPath,
      method,
      path,
      agent: false,
      headers:
        payload === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
      ...(signal === undefined ? {} : { signal }),
    });
    let response: IncomingMessage;
    try {
      response = await head(outgoing, payload);
    } catch (error) {
      throw this.#unreachable(error);
    }
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    throw refusal(status, await readAll(response).catch(() => ''));
  }

  #unreachable(error: unknown): ControlError {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      const looked = this.looked.length === 0 ? '' : `; looked at ${this.looked.join(', ')}`;
      return new ControlError(
        code,
        `no nbdloopd is listening on ${this.socketPath}; start it, or name its socket with --control${looked} ${seeDoctor('daemon')}`,
      );
    }
    if (code === 'EACCES')
      return new ControlError(
        code,
        `not allowed to use the control socket ${this.socketPath} ${seeDoctor('daemon')}`,
      );
    const detail = error instanceof Error ? error.message : String(error);
    return new ControlError(code, `talking to nbdloopd at ${this.socketPath} failed: ${detail}`);
  }
}

function head(outgoing: ClientRequest, payload: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', reject);
    outgoing.end(payload);
  });
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES)
      throw new ControlError('EMSGSIZE', 'the answer is longer than any of nbdloopd');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function refusal(status: number, body: string): ControlError {
  try {
    const { errno, message } = JSON.parse(body) as Partial<ErrorBody>;
    if (typeof errno === 'string' && typeof message === 'string') return new ControlError(errno, message);
  } catch {
    // Not an answer of ours: reported below by its status.
  }
  return new ControlError(
    'EPROTO',
    `the control socket answered with HTTP status ${status}, which is not nbdloopd's way`,
  );
}

/** The data lines of one server-sent event; undefined for a comment. */
function eventData(block: string): string | undefined {
  const lines = block.split('\n').filter((line) => line.startsWith('data:'));
  return lines.length === 0 ? undefined : lines.map((line) => line.slice(5).trimStart()).join('\n');
}

function errnoOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : 'EIO';
}
