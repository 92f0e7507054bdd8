import { constants } from 'node:os';
import { errnoName } from '../../../driver/errno.js';
import { alignedMemory } from '../../../driver/io/aligned.js';
import { LockOrder } from '../../../driver/locks/lock-order.js';
import { LoopControl } from '../../../driver/loop/loop-control.js';
import type { LoopDevice } from '../../../driver/loop/loop-device.js';
import type { LoopConfig } from '../../../driver/loop/types.js';
import { openDataPath } from '../../../driver/queue/queue-rq.js';
import type { Backend } from '../../../server/backend.js';
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

const named = (errno: number): string => (errno === 0 ? 'none' : errnoName(errno));

const settled = (operation: Promise<unknown>): Promise<string> =>
  operation.then(
    () => 'none',
    (error: { errno?: string }) => {
      if (error.errno === undefined) throw error;
      return error.errno;
    },
  );

/**
 * nbdloop's LoopControl, with its data path in this thread.
 *
 * An operation counts as an opener while it lasts, as an ioctl's descriptor does; a clear counts itself.
 */
export class OurSide implements OracleSide {
  readonly order = new LockOrder();
  readonly #control = new LoopControl({ order: this.order });
  readonly #memory = alignedMemory(1 << 20);

  constructor(readonly dir: string) {}

  add(device: number): Promise<string> {
    return settled(this.#control.ctlAdd(device));
  }

  remove(device: number): Promise<string> {
    return settled(this.#control.ctlRemove(device));
  }

  getFree(): Promise<number> {
    return this.#control.ctlGetFree();
  }

  configure(device: number, config: OracleConfig): Promise<string> {
    const { file, blockSize, ...rest } = config;
    const wanted: LoopConfig = { ...rest, file: pathOf(this.dir, file) };
    return this.#asOpener(device, (loop) =>
      loop.loopConfigure(blockSize === 0 ? wanted : { ...wanted, blockSize }),
    );
  }

  changeFd(device: number, file: OracleFile): Promise<string> {
    return this.#asOpener(device, (loop) => loop.loopChangeFd(pathOf(this.dir, file)));
  }

  clear(device: number): Promise<string> {
    return settled(this.#control.device(device).loopClrFd());
  }

  setStatus(device: number, settings: OracleSettings): Promise<string> {
    return this.#asOpener(device, (loop) => loop.loopSetStatus(settings));
  }

  getStatus(device: number): Promise<string> {
    return this.#asOpener(device, (loop) => loop.loopGetStatus());
  }

  setCapacity(device: number): Promise<string> {
    return this.#asOpener(device, (loop) => loop.loopSetCapacity());
  }

  setDirectIo(device: number, on: boolean): Promise<string> {
    return this.#asOpener(device, (loop) => loop.loopSetDio(on));
  }

  setBlockSize(device: number, bytes: number): Promise<string> {
    return this.#asOpener(device, (loop) => loop.loopSetBlockSize(bytes));
  }

  open(device: number): Promise<string> {
    return settled(this.#control.device(device).loOpen());
  }

  close(device: number): Promise<string> {
    return settled(this.#control.device(device).loRelease());
  }

  async read(device: number, offset: number, length: number): Promise<Transfer> {
    const errno = this.#transfer(device, 'read', offset, length);
    const data = Buffer.from(this.#memory.bytes.subarray(0, length));
    return errno === 0 ? { errno: 'none', length, data } : { errno: named(errno), length: 0 };
  }

  async write(device: number, offset: number, data: Buffer): Promise<Transfer> {
    this.#memory.bytes.set(data);
    const errno = this.#transfer(device, 'write', offset, data.length);
    return { errno: named(errno), length: errno === 0 ? data.length : 0 };
  }

  async view(device: number): Promise<OracleView> {
    const loop = this.#control.devices().find(({ number }) => number === device);
    if (loop === undefined) return { exists: false, size: 0, bound: null };
    const status = loop.snapshot();
    const { size, offset, sizeLimit, blockSize, readOnly, autoclear, partscan, directIo } = status;
    const flags = { readOnly, autoclear, partscan, directIo };
    const window = { offset: BigInt(offset), sizeLimit: BigInt(sizeLimit), blockSize };
    const bound = status.file === null ? null : { file: fileOf(status.file), ...window, ...flags };
    return { exists: true, size, bound };
  }

  async end(): Promise<void> {
    for (const device of this.#control.devices()) {
      if (device.state === 'bound') await device.loopClrFd({ force: true });
    }
    this.order.expectIdle();
  }

  #transfer(device: number, access: 'read' | 'write', offset: number, length: number): number {
    const backend = this.#backend(this.#control.device(device));
    if (!backend.enter()) return constants.errno.EAGAIN;
    try {
      return (
        backend.admit(access, offset, length) ||
        (access === 'read'
          ? backend.read(this.#memory.address, offset, length)
          : backend.write(this.#memory.address, offset, length))
      );
    } finally {
      backend.exit();
    }
  }

  #backend(device: LoopDevice): Backend {
    return openDataPath(0).attach(device.queue.shared);
  }

  async #asOpener(device: number, work: (loop: LoopDevice) => Promise<unknown>): Promise<string> {
    const loop = this.#control.device(device);
    await loop.loOpen();
    try {
      return await settled(work(loop));
    } finally {
      await loop.loRelease();
    }
  }
}
