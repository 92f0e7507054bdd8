/** The directory that one daemon has for its state: locked, and replaced as a whole, so that a crash leaves one. */

import { randomBytes } from 'node:crypto';
import { constants, fstatSync, readFileSync } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LoopError } from '../errno.js';
import { lockDescriptor, lockHolder } from '../io/file-lock.js';
import { type DaemonState, type DeviceState, type Handover, parseState, STATE_VERSION } from './state.js';

const STATE_FILE = 'state.json';
const LOCK_FILE = 'lock';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

const NOTHING = { devices: [], handover: null } as const;

export class StateDirectory {
  #last: Promise<void> = Promise.resolve();
  /** What is to be written when the write under way is done. */
  #next: { state: DaemonState; readonly durable: Promise<void> } | undefined;
  #isClosed = false;

  private constructor(
    readonly path: string,
    readonly bootId: string,
    /** Stays the same over the daemons that use this directory while the kernel lives. */
    readonly daemonId: string,
    /** What the daemon before this one left. */
    readonly previous: Pick<DaemonState, 'devices' | 'handover'>,
    private readonly lock: FileHandle,
  ) {}

  /** Takes the directory for this process. EBUSY, naming the holder, when another daemon has it; EPERM. */
  static async open(path: string): Promise<StateDirectory> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const { uid, mode } = await stat(path);
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
      throw new LoopError('EPERM', `${path} is not ours alone; name another place with --state-dir`);
    }
    const lock = await lockFile(join(path, LOCK_FILE), path);
    const bootId = readFileSync(BOOT_ID, 'utf8').trim();
    const text = await readFile(join(path, STATE_FILE), 'utf8').catch(() => '');
    const state = parseState(text, bootId);
    const daemonId = state?.daemonId ?? randomBytes(8).toString('hex');
    const directory = new StateDirectory(path, bootId, daemonId, state ?? NOTHING, lock);
    if (state === undefined) await directory.save([]);
    return directory;
  }

  /**
   * Replaces the state; resolves when it, or one saved after it, is durable. While the disk is slower than the changes,
   * only the last one waits to be written.
   */
  save(devices: readonly DeviceState[], handover: Handover | null = null): Promise<void> {
    const { bootId, daemonId } = this;
    const state: DaemonState = { version: STATE_VERSION, bootId, daemonId, devices, handover };
    if (this.#next !== undefined) {
      this.#next.state = state;
      return this.#next.durable;
    }
    const durable = this.#last.then(this.#writeNext, this.#writeNext);
    this.#next = { state, durable };
    this.#last = durable;
    return durable;
  }

  /** Gives the directory up; later saves do nothing. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.#last.catch(() => undefined);
    this.#isClosed = true;
    await this.lock.close();
  }

  readonly #writeNext = async (): Promise<void> => {
    const next = this.#next;
    this.#next = undefined;
    if (next !== undefined) await this.#replace(next.state);
  };

  async #replace(state: DaemonState): Promise<void> {
    if (this.#isClosed) return;
    const name = join(this.path, STATE_FILE);
    const file = await open(`${name}.new`, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(state, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${name}.new`, name);
    const directory = await open(this.path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

async function lockFile(path: string, directory: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  if (lockDescriptor(file.fd) === 0) return file;
  const { dev, ino } = fstatSync(file.fd, { bigint: true });
  await file.close();
  const holder = await lockHolder({ device: dev, inode: ino });
  throw new LoopError('EBUSY', `The state directory ${directory} is in use by ${holder}.`);
}
