/** A device of ours as a block device of a kernel, whose power can be cut. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlClient } from '../../driver/control/client.js';
import type { PowerCutAnswer } from '../../driver/control/messages.js';
import { FuseDisk } from '../helpers/fuse-disk.js';

/** A flush takes a moment, as on a disk: what it is about to make durable may still be lost. */
export const SLOW_FLUSH = {
  kind: 'delay',
  id: 'slow-flush',
  operations: ['flush'],
  delay: { distribution: 'uniform', min: 0, max: 10 },
} as const;

export interface CutDisk extends AsyncDisposable {
  /** Path of the block device, after `plugIn`. */
  readonly node: string;
  plugIn(): Promise<void>;
  /** Flushes are slow until the next cut. */
  slowDown(): Promise<unknown>;
  /** Nothing is written back any more by the kernel that had it. Nobody has it mounted. */
  unplug(): Promise<void>;
  /** What has it mounted is left with a disk that is gone. */
  cut(seed: number): Promise<PowerCutAnswer>;
}

const HOW = { keep: 'random', tear: true } as const;

/** Attached to the kernel's nbd driver: in a guest. */
export class AttachedDisk implements CutDisk {
  constructor(
    private readonly client: ControlClient,
    private readonly number: number,
  ) {}

  get node(): string {
    return `/dev/nbd${this.number}`;
  }

  async plugIn(): Promise<void> {
    await this.client.attach(this.number);
  }

  async unplug(): Promise<void> {
    if (existsSync(`/sys/block/nbd${this.number}/pid`)) await this.client.detach(this.number);
    while (existsSync(`/sys/block/nbd${this.number}/pid`)) await sleep(50);
  }

  slowDown(): Promise<unknown> {
    return this.client.addFaults(this.number, [SLOW_FLUSH]);
  }

  cut(seed: number): Promise<PowerCutAnswer> {
    return this.client.powerCut(this.number, { ...HOW, seed });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unplug();
  }
}

/** A loop device of the kernel over nbdfuse: wherever these two can be used. */
export class FusedDisk implements CutDisk {
  #fuse: FuseDisk | undefined;

  constructor(
    private readonly client: ControlClient,
    private readonly number: number,
    private readonly uri: string,
  ) {}

  get node(): string {
    if (this.#fuse === undefined) throw new Error('It is not plugged in.');
    return this.#fuse.node;
  }

  async plugIn(): Promise<void> {
    this.#fuse = await FuseDisk.of(this.uri);
  }

  async unplug(): Promise<void> {
    await this.#fuse?.[Symbol.asyncDispose]();
    this.#fuse = undefined;
  }

  slowDown(): Promise<unknown> {
    return this.client.addFaults(this.number, [SLOW_FLUSH]);
  }

  cut(seed: number): Promise<PowerCutAnswer> {
    return this.client.powerCut(this.number, { ...HOW, seed });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unplug();
  }
}
