/** The device of a disk while it lives: what is asked of it, and whether it answers as the disk's model says. */
import { deepStrictEqual, ok } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, closeSync, fsyncSync, openSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { constants } from 'node:os';
import type { LoopControl } from '../../../driver/loop/loop-control.js';
import type { LoopDevice } from '../../../driver/loop/loop-device.js';
import { openDataPath } from '../../../driver/queue/queue-rq.js';
import { memory } from '../../helpers/file-systems.js';
import { SECTOR, sectorsOf } from './disk-model.js';
import type { Disk } from './lives.js';
import { type Asked, plan } from './plan.js';
import type { Operation, Step } from './scenario.js';

const main = openDataPath(0);
/** Of the copies that are to be cancelled: bytes a second. */
const SLOW = 1 << 20;

export class LiveDevice {
  readonly #device: LoopDevice;

  constructor(
    readonly disk: Disk,
    readonly control: LoopControl,
  ) {
    this.#device = control.device(0);
  }

  /** Until the end, or that of the power. */
  async use(steps: readonly Step[]): Promise<void> {
    const { disk } = this;
    await disk.lanes.attach(this.#device.queue.shared);
    for (const step of steps) {
      if (!(await this.#step(step)) || disk.isDead()) return;
      disk.model.check(this.content(0));
      this.#checkFiles();
    }
    await this.checkKept().catch((error: unknown) => {
      if (!disk.isDead()) throw error;
    });
  }

  /** False when the power has gone. */
  async #step({ operation, lanes }: Step): Promise<boolean> {
    const isAlone = operation === 'rebind' || operation.startsWith('grow');
    const asked = plan(this.disk.model, lanes);
    const operating = isAlone ? undefined : this.#operate(operation, asked);
    const [isAlive, isDone] = await Promise.all([this.#ask(asked), operating ?? true]);
    if (!isAlive || !isDone) return false;
    return isAlone ? await this.#operate(operation, []) : true;
  }

  async #ask(asked: readonly Asked[][]): Promise<boolean> {
    const { model, lanes } = this.disk;
    const lists = asked.filter((list) => list.length > 0);
    const reported = await lanes.run(lists.map((list) => list.map(({ request }) => request)));
    let isAlive = true;
    reported.forEach(({ errnos }, lane) => {
      errnos.forEach((errno, index) => {
        const { request, settles } = (lists[lane] as Asked[])[index] as Asked;
        ok(errno >= 0, `a read beside writes brought something else than was written`);
        if (errno === 0 && settles !== undefined) {
          model.durable(settles.all);
          model.durable(settles.own, settles.sectors);
        }
        if (errno === 0) return;
        isAlive = false;
        deepStrictEqual(errno, constants.errno.EIO, `a ${request.kind} failed`);
        ok(this.disk.isDead(), `a ${request.kind} failed with EIO on a sound disk`);
      });
    });
    return isAlive;
  }

  /** False when it failed since the power has gone. */
  async #operate(operation: Operation, asked: readonly Asked[][]): Promise<boolean> {
    try {
      await this.#carryOut(operation, asked);
      return true;
    } catch (error) {
      if (this.disk.isDead()) return false;
      if (this.#isRefusal(operation, (error as { errno?: unknown }).errno)) return true;
      throw error;
    }
  }

  /** What the device as it is can't do. */
  #isRefusal(operation: Operation, errno: unknown): boolean {
    const layers = this.#device.layers();
    if (layers.length === 1) return errno === (operation === 'snapshot' ? 'EOPNOTSUPP' : 'EINVAL');
    if (!operation.endsWith('commit')) return false;
    const [top, below] = layers;
    return errno === 'EFBIG' && below?.kind === 'delta' && below.size < (top?.size ?? 0);
  }

  async #carryOut(operation: Operation, asked: readonly Asked[][]): Promise<void> {
    const { disk } = this;
    const device = this.#device;
    switch (operation) {
      case 'none':
        return;
      case 'snapshot':
        return await this.#snapshot(asked);
      case 'commit':
        this.#dropKept();
        await device.commit();
        return await this.#ended('done');
      case 'flatten':
        await device.flatten();
        return await this.#ended('done');
      case 'move':
        await device.move(disk.newFile('moved'));
        return await this.#ended('done');
      case 'cancelled move':
      case 'cancelled commit':
        return await this.#cancelled(operation);
      case 'grow the delta':
        return await this.#growDelta();
      case 'grow the base':
        return await this.#growBase();
      case 'rebind':
        return await this.#rebind();
    }
  }

  async #cancelled(operation: 'cancelled move' | 'cancelled commit'): Promise<void> {
    const wish = { rate: SLOW };
    if (operation === 'cancelled move') await this.#device.move(this.disk.newFile('moved'), wish);
    else {
      this.#dropKept();
      await this.#device.commit(wish);
    }
    // It may have ended by itself.
    await this.#device.cancelCopy().catch(() => undefined);
    await this.#device.copyEnds();
    ok(this.#device.copyStatus()?.state !== 'failed' || this.disk.isDead(), `it failed`);
  }

  async #ended(state: string): Promise<void> {
    await this.#device.copyEnds();
    const status = this.#device.copyStatus();
    if (status?.state !== state) throw new Error(`${status?.kind} ${status?.state}: ${status?.message}`);
  }

  async #snapshot(asked: readonly Asked[][]): Promise<void> {
    const { disk } = this;
    const busy = new Set(asked.flat().flatMap(({ request }) => touched(request)));
    const { now } = disk.model;
    const sectors = Array.from({ length: now.length / SECTOR }, (_, sector) =>
      busy.has(sector) ? null : Buffer.from(now.subarray(sector * SECTOR, (sector + 1) * SECTOR)),
    );
    const base = this.#device.snapshot().file ?? '';
    const file = disk.newFile('snapshot');
    await this.control.snapshot([{ number: 0, file }]);
    disk.kept.push({ file, base, sectors });
  }

  /** What is below the delta is about to be written to. */
  #dropKept(): void {
    const [, below] = this.#device.layers();
    this.disk.kept = this.disk.kept.filter(({ file, base }) => below?.path !== file && below?.path !== base);
  }

  async #growDelta(): Promise<void> {
    const { delta } = this.#device.snapshot();
    if (delta === null) return;
    const file = this.#device.layers()[0];
    const dataOffset = 1 << 20;
    truncateSync(delta, dataOffset + Math.ceil(((file?.size ?? 0) + 20_000) / SECTOR) * SECTOR);
    await this.#grow();
  }

  async #growBase(): Promise<void> {
    const [, base, ...rest] = this.#device.layers();
    if (base === undefined || rest.length > 0) return;
    // What the device shows behind the base's end already is no longer the base's to have.
    if (statSync(base.path).size < this.disk.model.size) return;
    this.disk.isBaseLonger = true;
    const fd = openSync(base.path, 'a');
    try {
      appendFileSync(fd, randomBytes(7 * SECTOR));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    await this.growToBase();
  }

  async growToBase(): Promise<void> {
    await this.#grow();
    this.disk.isBaseLonger = false;
  }

  async #grow(): Promise<void> {
    const { model } = this.disk;
    await this.#device.loopSetCapacity();
    const { size, file } = this.#device.snapshot();
    if (size > model.size) model.grow(this.disk.behind(size, file ?? ''));
  }

  async #rebind(): Promise<void> {
    const { file, delta } = this.#device.snapshot();
    await this.#device.loopClrFd();
    await this.#device.loopConfigure({ file: file ?? '', ...(delta !== null && { overlay: { delta } }) });
    if (delta !== null) this.disk.model.durable(this.disk.model.mark());
  }

  /** All that a device holds. */
  content(number: number): Buffer {
    const device = this.control.device(number);
    const backend = main.attach(device.queue.shared);
    const { bytes, address } = memory(device.snapshot().size);
    ok(backend.enter(), 'it is frozen');
    deepStrictEqual(backend.read(address, 0, bytes.length), 0, 'all of it is read');
    backend.exit();
    backend.close?.();
    return Buffer.from(bytes);
  }

  /** Snapshots hold what the disk held. */
  async checkKept(): Promise<void> {
    for (const { file, base, sectors } of this.disk.kept) {
      const number = await this.control.ctlAdd();
      const device = this.control.device(number);
      await device.loopConfigure({ file: base, readOnly: true, overlay: { delta: file } });
      const content = this.content(number);
      sectors.forEach((meant, sector) => {
        const found = content.subarray(sector * SECTOR, (sector + 1) * SECTOR);
        ok(meant === null || meant.equals(found), `the snapshot ${file} has another sector ${sector}`);
      });
      await device.loopClrFd({ force: true });
      await this.control.ctlRemove(number);
    }
  }

  /** Nothing half-made is left behind. */
  #checkFiles(): void {
    const { mount, files } = this.disk;
    const left = readdirSync(mount.file()).map((name) => mount.file(name));
    deepStrictEqual(
      left.filter((file) => !files.has(file) && !file.includes('.fuse_hidden')),
      [],
      'files are left behind',
    );
  }
}

function touched(request: Asked['request']): readonly number[] {
  switch (request.kind) {
    case 'write':
      return sectorsOf(request.at, request.data.length);
    case 'gather':
      return request.data.flatMap((data, index) =>
        sectorsOf(request.at + index * request.stride, data.length),
      );
    case 'trim':
    case 'zero':
      return sectorsOf(request.at, request.length);
    default:
      return [];
  }
}
