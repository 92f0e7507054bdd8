/**
 * The directory that one daemon has for its state: locked; changed by edits, each of which is written or refused as a
 * whole. It lives as long as the kernel that holds the devices, so that what counts is that a process may end at
 * any point, and not what a machine without power remembers.
 */

import { randomBytes } from 'node:crypto';
import { constants, fstatSync, readFileSync, statSync } from 'node:fs';
import { type FileHandle, mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LoopError } from '../errno.js';
import { lockDescriptor, lockHolder } from '../io/file-lock.js';
import { isEnding } from '../process-end.js';
import type { RemoteRecord } from '../remote/record.js';
import { seeDoctor } from '../see-doctor.js';
import { type DaemonState, type DeviceRecord, type Handover, parseState, stateText } from './state.js';
import { StateFile } from './state-file.js';

const STATE_FILE = 'state.json';
const LOCK_FILE = 'lock';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** What an edit changes: the records by number, and what is handed over. */
export interface StateDraft {
  readonly devices: Map<number, DeviceRecord>;
  readonly remotes: Map<number, RemoteRecord>;
  handover: Handover | null;
}
export type StateEdit = (draft: StateDraft) => void;

interface Pending {
  readonly edit: StateEdit;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class StateDirectory {
  /** What is written. */
  #state: DaemonState;
  #pending: Pending[] = [];
  #writing: Promise<void> | undefined;
  #isClosed = false;

  private constructor(
    readonly path: string,
    private readonly file: StateFile,
    private readonly lock: FileHandle,
    /** The daemon before this one, where it has ended but for threads that hang in the kernel: its locks are still there. */
    readonly predecessor: number | undefined,
    state: DaemonState,
  ) {
    this.#state = state;
  }

  /** Takes the directory for this process. EBUSY, naming the holder, when another daemon has it; EPERM. */
  static async open(path: string): Promise<StateDirectory> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const { uid, mode } = await stat(path);
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
      throw new LoopError(
        'EPERM',
        `${path} is not ours alone; name another place with --state-dir ${seeDoctor('run directory')}`,
      );
    }
    const { lock, predecessor } = await lockFile(join(path, LOCK_FILE), path);
    const bootId = readFileSync(BOOT_ID, 'utf8').trim();
    const file = new StateFile(join(path, STATE_FILE));
    const state = parseState(await file.read(), bootId);
    const daemonId = randomBytes(8).toString('hex');
    const fresh = { bootId, daemonId, devices: [], handover: null, remotes: [] };
    const directory = new StateDirectory(path, file, lock, predecessor, state ?? fresh);
    try {
      // An identity that others see is written first.
      if (state === undefined) await directory.change(() => {});
    } catch (error) {
      await directory.close();
      throw error;
    }
    return directory;
  }

  /** Stays the same over the daemons that use this directory while the kernel lives. */
  get daemonId(): string {
    return this.#state.daemonId;
  }

  /** Records by number; at first those of the daemon before this one. */
  get devices(): readonly DeviceRecord[] {
    return this.#state.devices;
  }

  /** Devices of other hosts, as `devices`. */
  get remotes(): readonly RemoteRecord[] {
    return this.#state.remotes;
  }

  /** What the daemon before this one handed over. */
  get handover(): Handover | null {
    return this.#state.handover;
  }

  /**
   * Resolves when the edit is written: a daemon that comes after this one finds it. Rejects with a LoopError when it
   * can't be, and then it never is. Edits are carried out in order; those that come while one is written share the
   * next writing.
   */
  change(edit: StateEdit): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#pending.push({ edit, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  /** Gives the directory up, when what was asked for is written; later changes do nothing. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#writing;
    await this.lock.close();
  }

  async #writeAll(): Promise<void> {
    for (;;) {
      await undefined; // edits of this turn come along
      const batch = this.#pending.splice(0);
      if (batch.length === 0) {
        this.#writing = undefined;
        return;
      }
      const error = await this.#write(batch);
      if (error === undefined || batch.length === 1) settle(batch, error);
      // One that can't be written must not refuse the others.
      else for (const one of batch) settle([one], await this.#write([one]));
    }
  }

  /** Why the edits are not written; undefined when they are. */
  async #write(batch: readonly Pending[]): Promise<LoopError | undefined> {
    const { bootId, daemonId, handover } = this.#state;
    const draft: StateDraft = {
      devices: byNumber(this.#state.devices),
      remotes: byNumber(this.#state.remotes),
      handover,
    };
    for (const { edit } of batch) edit(draft);
    const state = {
      bootId,
      daemonId,
      devices: inOrder(draft.devices),
      remotes: inOrder(draft.remotes),
      handover: draft.handover,
    };
    try {
      await this.file.replace(stateText(state));
    } catch (error) {
      const errno = ((error as NodeJS.ErrnoException).code ?? 'EIO') as LoopError['errno'];
      return new LoopError(errno, `The state in ${this.path} can't be written (${errno}).`);
    }
    this.#state = state;
    return undefined;
  }
}

const byNumber = <T extends { readonly number: number }>(records: readonly T[]): Map<number, T> =>
  new Map(records.map((one) => [one.number, one]));

const inOrder = <T extends { readonly number: number }>(records: ReadonlyMap<number, T>): T[] =>
  [...records.values()].sort((a, b) => a.number - b.number);

function settle(batch: readonly Pending[], error: LoopError | undefined): void {
  for (const { resolve, reject } of batch) {
    if (error === undefined) resolve();
    else reject(error);
  }
}

/** A lock whose holder was killed, and waits in the kernel for a file system that hangs, is taken from it: it writes no more. */
async function lockFile(
  path: string,
  directory: string,
): Promise<{ lock: FileHandle; predecessor: number | undefined }> {
  let predecessor: number | undefined;
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  for (;;) {
    const file = await open(path, flags, 0o600);
    const { dev, ino } = fstatSync(file.fd, { bigint: true });
    const named = statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
    if (lockDescriptor(file.fd) === 0) {
      if (named === ino) {
        await noteHolder(file);
        return { lock: file, predecessor };
      }
      await file.close(); // somebody else has put another file there since
      continue;
    }
    const noted = Number(await file.readFile('latin1'));
    await file.close();
    if (!isEnding(noted)) {
      const isKnown = Number.isSafeInteger(noted) && noted > 0;
      const holder = isKnown
        ? `another daemon (process ${noted})`
        : await lockHolder({ device: dev, inode: ino });
      throw new LoopError('EBUSY', `The state directory ${directory} is in use by ${holder}.`);
    }
    predecessor = noted;
    if (named === ino) await rm(path, { force: true });
  }
}

/** For the daemon that meets the lock. Where there is no room for it, the lock just can't be taken from us. */
async function noteHolder(file: FileHandle): Promise<void> {
  await file.truncate(0);
  await file.write(`${process.pid}\n`, 0).catch(() => undefined);
}
