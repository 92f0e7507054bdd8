/** A device over a base and deltas, driven on lanes of this thread and compared with a model of its bytes. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { LoopDevice } from '../../driver/loop/loop-device.js';
import type { LoopConfig } from '../../driver/loop/types.js';
import { openDataPath } from '../../driver/queue/queue-rq.js';
import type { Backend } from '../../server/backend.js';
import { memory } from './file-systems.js';
import { LoopBench, MIB } from './loop-bench.js';
import { Random } from './random.js';

const MOST = 2 * MIB;

export class OverlayBench implements AsyncDisposable {
  readonly loops: LoopBench;
  readonly base: string;
  readonly delta: string;
  /** What the device must read as. */
  model: Buffer;
  device!: LoopDevice;
  #lanes: Backend[] = [];
  readonly #memory = memory(MOST);

  private constructor(
    readonly random: Random,
    bytes: number,
  ) {
    this.loops = new LoopBench();
    this.base = this.loops.dir.file('base.img');
    this.delta = this.loops.dir.file('top.delta');
    this.model = randomBytes(bytes);
    writeFileSync(this.base, this.model);
  }

  /** A base of random bytes, and an overlay over it. */
  static async start(
    options: { bytes?: number; seed?: number; blockSize?: number } = {},
  ): Promise<OverlayBench> {
    const { bytes = 4 * MIB + 1536, seed = 1, blockSize = 4096 } = options;
    const bench = new OverlayBench(new Random(seed), bytes);
    await bench.bind({ file: bench.base, overlay: { delta: bench.delta, blockSize } });
    return bench;
  }

  get dir() {
    return this.loops.dir;
  }

  async bind(config: LoopConfig): Promise<void> {
    this.device ??= await this.loops.device();
    await this.device.loopConfigure(config);
    this.#lanes = [0, 1].map((lane) => openDataPath(lane).attach(this.device.queue.shared));
  }

  async rebind(config: LoopConfig): Promise<void> {
    await this.device.loopClrFd({ force: true });
    await this.bind(config);
  }

  baseContent(): Buffer {
    return readFileSync(this.base);
  }

  /** One random request on one of the lanes. Throws where it brings something else than the model. */
  step(): void {
    const { random, model } = this;
    const lane = this.#lanes[random.below(this.#lanes.length)] as Backend;
    const unit = [1, 512, 4096][random.below(3)] ?? 1;
    const most = [600, 5000, 100_000, MOST][random.below(4)] ?? 600;
    const length = Math.min(
      unit * Math.ceil((1 + random.below(most)) / unit),
      MOST,
      model.length - (model.length % 512),
    );
    const offset = Math.floor(random.below(model.length - length + 1) / unit) * unit;
    if (!lane.enter()) throw new Error('it is frozen');
    try {
      this.#one(lane, offset, length);
    } finally {
      lane.exit();
    }
  }

  #one(lane: Backend, offset: number, length: number): void {
    const { random, model } = this;
    const { bytes, address } = this.#memory;
    const what = random.below(8);
    if (what < 3) {
      const data = randomBytes(length);
      bytes.set(data);
      const isBatch = random.below(2) === 0 && lane.batchWrite(address, offset, length);
      const errno = isBatch
        ? lane.runBatch()
          ? 0
          : lane.batchResult(0)
        : lane.write(address, offset, length);
      fail('write', errno);
      data.copy(model, offset);
    } else if (what === 3) {
      fail('trim', lane.trim(offset, length));
      model.fill(0, offset, offset + length);
    } else if (what === 4) {
      fail('zero', lane.writeZeroes(offset, length, { punch: random.below(2) === 0, fast: false }));
      model.fill(0, offset, offset + length);
    } else if (what === 5) {
      fail('flush', lane.flush());
    } else {
      fail('read', lane.read(address, offset, length));
      this.#compare(offset, bytes.subarray(0, length));
    }
  }

  steps(count: number): void {
    for (let i = 0; i < count; i++) this.step();
  }

  write(offset: number, data: Buffer, lane = 0): void {
    const backend = this.#lanes[lane] as Backend;
    this.#memory.bytes.set(data);
    backend.enter();
    fail('write', backend.write(this.#memory.address, offset, data.length));
    backend.exit();
    data.copy(this.model, offset);
  }

  flush(): void {
    const backend = this.#lanes[0] as Backend;
    backend.enter();
    fail('flush', backend.flush());
    backend.exit();
  }

  backend(lane = 0): Backend {
    return this.#lanes[lane] as Backend;
  }

  /** Throws where the device reads as anything else than the model. */
  check(): void {
    const { bytes, address } = this.#memory;
    for (const lane of this.#lanes) {
      for (let offset = 0; offset < this.model.length; offset += MOST) {
        const length = Math.min(MOST, this.model.length - offset);
        lane.enter();
        fail('read', lane.read(address, offset, length));
        lane.exit();
        this.#compare(offset, bytes.subarray(0, length));
      }
    }
  }

  #compare(offset: number, bytes: Uint8Array): void {
    const meant = this.model.subarray(offset, offset + bytes.length);
    if (meant.equals(bytes)) return;
    const at = meant.findIndex((byte, index) => byte !== bytes[index]);
    throw new Error(`byte ${offset + at} is another one than was written`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.loops[Symbol.asyncDispose]();
  }
}

function fail(what: string, errno: number): void {
  if (errno !== 0) throw new Error(`${what}: errno ${errno}`);
}
