/** A registry of loop devices with real files, for tests of the driver. */
import { truncateSync } from 'node:fs';
import { LoopControl, type LoopControlOptions } from '../../driver/loop/loop-control.js';
import type { LoopDevice } from '../../driver/loop/loop-device.js';
import type { LoopEvent } from '../../driver/loop/types.js';
import { LaneWord, LoFlag, laneWord, Word } from '../../driver/queue/slots.js';
import { makeSparseFile, TempDir } from './temp.js';

export const MIB = 1 << 20;

/** The `LoFlag` bits that the data path sees, but what only the file system of the test decides. */
export const publishedFlags = ({ queue }: LoopDevice): number =>
  (new Int32Array(queue.shared)[Word.FLAGS] ?? 0) & ~LoFlag.TELLS_HOLES;

export class LoopBench implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly control: LoopControl;
  readonly events: LoopEvent[] = [];

  constructor(options: LoopControlOptions = {}) {
    this.control = new LoopControl(options);
    this.control.events.on('change', (event) => this.events.push(event));
  }

  /** Adds an unbound device. */
  async device(number?: number): Promise<LoopDevice> {
    return this.control.device(await this.control.ctlAdd(number));
  }

  /** Adds a device bound to a new file of 1 MiB. */
  async bound(config: { readOnly?: boolean; autoclear?: boolean; bytes?: number } = {}): Promise<LoopDevice> {
    const { bytes = MIB, ...flags } = config;
    const device = await this.device();
    await device.loopConfigure({ file: this.file(`${device.name}.img`, bytes), ...flags });
    return device;
  }

  /** A new file in the temporary directory. */
  file(name: string, bytes: number = MIB): string {
    return makeSparseFile(this.dir.file(name), bytes);
  }

  resize(name: string, bytes: number): void {
    truncateSync(this.dir.file(name), bytes);
  }

  /** What has happened to a device so far, e.g. 'add bind unbind'. */
  history(device: LoopDevice): string {
    return this.events
      .filter((event) => event.device === device.number)
      .map((event) => event.kind)
      .join(' ');
  }

  /** Lets every device go and reports what lock-order mistakes were made. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const device of this.control.devices()) {
      if (device.state === 'bound') await device.loopClrFd({ force: true });
    }
    await this.control.idle();
    this.dir[Symbol.dispose]();
    this.control.order.expectIdle();
    for (const report of this.control.order.reports) throw report;
  }
}

/** Counts a request in on a lane, as the data side does; the result counts it out. */
export function stuckRequest(device: LoopDevice, lane = 0): () => void {
  const words = new Int32Array(device.queue.shared);
  const index = laneWord(lane) + LaneWord.IN_FLIGHT;
  Atomics.add(words, index, 1);
  return () => {
    Atomics.sub(words, index, 1);
    Atomics.notify(words, index);
  };
}

/** True when a promise is still pending after a few turns of the event loop. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  const later = new Promise((resolve) => setTimeout(resolve, 30, pending));
  return (await Promise.race([promise.catch(() => undefined), later])) === pending;
}

/** The errno name that an operation fails with, or 'none'. */
export const errnoOf = (operation: Promise<unknown>): Promise<string> =>
  operation.then(
    () => 'none',
    (error: { errno?: string }) => error.errno ?? String(error),
  );
