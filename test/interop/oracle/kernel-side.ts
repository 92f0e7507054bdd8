import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { alignedMemory } from '../../../driver/io/aligned.js';
import { KernelLoopControl, KernelLoopDevice, type KernelLoopHandle } from './kernel-ioctl.js';
import {
  fileOf,
  type OracleConfig,
  type OracleFile,
  type OracleSettings,
  type OracleSide,
  type OracleView,
  pathOf,
  type Transfer,
} from './side.js';

/** Far from the numbers that other programs on the host use. */
const FIRST_NUMBER = 40_000 + (process.pid % 1000) * 16;

/** The host's loop driver. Sessions are descriptors with O_DIRECT, so that its page cache hides nothing. */
export class KernelSide implements OracleSide {
  readonly #control = new KernelLoopControl();
  readonly #devices = new Map<number, { loop: KernelLoopDevice; sessions: KernelLoopHandle[] }>();
  readonly #memory = alignedMemory(1 << 20);
  #nodes = 0;

  constructor(readonly dir: string) {}

  async add(device: number): Promise<string> {
    const errno = this.#control.add(FIRST_NUMBER + device);
    if (errno !== 'none') return errno;
    const node = `${this.dir}/node${this.#nodes++}`;
    this.#devices.set(device, { loop: new KernelLoopDevice(FIRST_NUMBER + device, node), sessions: [] });
    return errno;
  }

  async remove(device: number): Promise<string> {
    const errno = this.#control.remove(device < 0 ? device : FIRST_NUMBER + device);
    if (errno === 'none') this.#devices.delete(device);
    return errno;
  }

  async getFree(): Promise<number | 'another'> {
    const free = this.#control.getFree();
    if (!('value' in free)) throw new Error(`LOOP_CTL_GET_FREE: ${free.errno}`);
    return this.#devices.has(free.value - FIRST_NUMBER) ? free.value - FIRST_NUMBER : 'another';
  }

  async configure(device: number, config: OracleConfig): Promise<string> {
    const fd = this.#openFile(config.file, config.readOnly);
    try {
      return this.#asOpener(device, (handle) => handle.configure({ ...config, fd }));
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }

  async changeFd(device: number, file: OracleFile): Promise<string> {
    const fd = this.#openFile(file, true);
    try {
      return this.#asOpener(device, (handle) => handle.changeFd(fd));
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }

  async clear(device: number): Promise<string> {
    return this.#asOpener(device, (handle) => handle.clear());
  }

  async setStatus(device: number, settings: OracleSettings): Promise<string> {
    return this.#asOpener(device, (handle) => handle.setStatus(settings));
  }

  async getStatus(device: number): Promise<string> {
    return this.#asOpener(device, (handle) => handle.getStatus().errno);
  }

  async setCapacity(device: number): Promise<string> {
    return this.#asOpener(device, (handle) => handle.setCapacity());
  }

  async setDirectIo(device: number, on: boolean): Promise<string> {
    return this.#asOpener(device, (handle) => handle.setDirectIo(on));
  }

  async setBlockSize(device: number, bytes: number): Promise<string> {
    return this.#asOpener(device, (handle) => handle.setBlockSize(bytes));
  }

  async open(device: number): Promise<string> {
    const { loop, sessions } = this.#device(device);
    sessions.push(loop.open(constants.O_RDWR | constants.O_DIRECT));
    return 'none';
  }

  async close(device: number): Promise<string> {
    this.#device(device).sessions.pop()?.[Symbol.dispose]();
    return 'none';
  }

  async read(device: number, offset: number, length: number): Promise<Transfer> {
    const fd = this.#session(device);
    const transfer = attempt(() => readSync(fd, this.#memory.bytes, 0, length, offset));
    return { ...transfer, data: Buffer.from(this.#memory.bytes.subarray(0, transfer.length)) };
  }

  async write(device: number, offset: number, data: Buffer): Promise<Transfer> {
    const fd = this.#session(device);
    this.#memory.bytes.set(data);
    return attempt(() => writeSync(fd, this.#memory.bytes, 0, data.length, offset));
  }

  async view(device: number): Promise<OracleView> {
    const entry = this.#devices.get(device);
    if (entry === undefined) return { exists: false, size: 0, bound: null };
    const { size, blockSize, readOnly, bound } = entry.loop.view();
    return {
      exists: true,
      size,
      bound: bound === null ? null : { ...bound, file: fileOf(bound.file), blockSize, readOnly },
    };
  }

  async end(): Promise<void> {
    for (const [device, { sessions }] of [...this.#devices]) {
      for (const session of sessions) session[Symbol.dispose]();
      await this.clear(device);
      await this.remove(device);
    }
    this.#control[Symbol.dispose]();
  }

  #device(device: number): { loop: KernelLoopDevice; sessions: KernelLoopHandle[] } {
    const entry = this.#devices.get(device);
    if (entry === undefined) throw new Error(`The test has not added device ${device}.`);
    return entry;
  }

  #session(device: number): number {
    const session = this.#device(device).sessions.at(-1);
    if (session === undefined) throw new Error(`The test has no session of device ${device}.`);
    return session.fd;
  }

  /** A descriptor as losetup opens one; -1 when there is no such file, which is what the driver is then given. */
  #openFile(file: OracleFile, readOnly: boolean): number {
    if (file === 'missing') return -1;
    const mode = readOnly || file === 'directory' ? constants.O_RDONLY : constants.O_RDWR;
    return openSync(pathOf(this.dir, file), mode | constants.O_NONBLOCK);
  }

  #asOpener(device: number, work: (handle: KernelLoopHandle) => string): string {
    using handle = this.#device(device).loop.open();
    return work(handle);
  }
}

function attempt(work: () => number): Transfer {
  try {
    return { errno: 'none', length: work() };
  } catch (error) {
    return { errno: (error as NodeJS.ErrnoException).code ?? String(error), length: 0 };
  }
}
