import { LoopControl } from '../../driver/loop/loop-control.js';
import type { LoopDevice } from '../../driver/loop/loop-device.js';
import { openDataPath } from '../../driver/queue/queue-rq.js';
import { LoFlag, Word } from '../../driver/queue/slots.js';
import type { FakeFiles, Pause } from './adversary.js';
import type { Device } from './loop-model.js';

/** The real device under test, on the adversary's files, with one lane of the data path. */
export class RealDevice {
  readonly control: LoopControl;
  readonly #parked: (() => void)[] = [];
  #device: LoopDevice | undefined;

  constructor(
    readonly files: FakeFiles,
    readonly pause: Pause,
  ) {
    this.control = new LoopControl({
      onThaw: () => {
        for (const wake of this.#parked.splice(0)) wake();
      },
    });
  }

  get device(): LoopDevice {
    if (this.#device === undefined) throw new Error('The device is not there yet.');
    return this.#device;
  }

  async add(): Promise<void> {
    this.#device = this.control.device(await this.control.ctlAdd());
  }

  /** A read of the first sector: the path of the file that it reached, or EIO. */
  async request(): Promise<string> {
    const { shared } = this.device.queue;
    const backend = openDataPath(0).attach(shared);
    while (!backend.enter()) {
      await new Promise<void>((resolve) => this.#parked.push(resolve));
      await this.pause('unparked');
    }
    await this.pause('entered');
    if (backend.admit('read', 0, 512) !== 0) {
      backend.exit();
      return 'EIO';
    }
    const words = new Int32Array(shared);
    const fd = words[Word.FD] ?? -1;
    const path = this.files.use(fd, ((words[Word.FLAGS] ?? 0) & LoFlag.DIRECT_IO) !== 0);
    await this.pause('reading');
    this.files.unuse(fd);
    backend.exit();
    return path;
  }

  /** The device in the model's words, as far as it can be seen. */
  look(): Omit<Device, 'released'> {
    const { state, openers, file, readOnly, autoclear, directIo, blockSize } = this.device.snapshot();
    const binding = file === null ? null : { id: '', file, readOnly, autoclear, directIo, blockSize };
    return { state, openers, binding };
  }
}
