/**
 * A disk that lives through crashes: a base, deltas over it and files that it moves to, on a file system that forgets at a cut
 * of the power what was not synced, and that can go at any change or sync (`FuseMount`).
 */
import { deepStrictEqual } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import type { Binding } from '../../../driver/loop/binding.js';
import type { Ledger } from '../../../driver/loop/ledger.js';
import { LoopControl } from '../../../driver/loop/loop-control.js';
import type { LoopConfig } from '../../../driver/loop/types.js';
import { examineDelta } from '../../../driver/store/delta/examine.js';
import type { FuseMount } from '../../helpers/fuse/fuse-mount.js';
import { openFiles } from '../../helpers/open-files.js';
import { DiskModel, SECTOR } from './disk-model.js';
import type { Lanes } from './lanes.js';
import { LiveDevice } from './live-device.js';
import type { Life, Scenario } from './scenario.js';

/** Which binding a daemon that comes next would find written down. */
interface Noted {
  readonly file: string;
  readonly inode: bigint;
  readonly alsoAt: string | undefined;
  readonly delta: string | undefined;
}

/** A snapshot that is to hold this; null: a sector of which it is not known, since it was written to at that time. */
export interface Kept {
  readonly file: string;
  readonly base: string;
  readonly sectors: readonly (Buffer | null)[];
}

let names = 0;

export class Disk {
  readonly model: DiskModel;
  noted: Noted;
  kept: Kept[] = [];
  /** What the base has got behind its end, and the device does not show yet. */
  isBaseLonger = false;
  readonly #probe: string;
  /** All files that may be there. */
  readonly files = new Set<string>();

  constructor(
    readonly scenario: Scenario,
    readonly mount: FuseMount,
    readonly lanes: Lanes,
  ) {
    const file = this.newFile('base');
    const content = randomBytes(scenario.sectors * SECTOR);
    writeFileSync(file, content, { flush: true });
    this.#probe = this.newFile('probe');
    writeFileSync(this.#probe, '');
    this.model = new DiskModel(content);
    this.noted = { file, inode: statSync(file, { bigint: true }).ino, alsoAt: undefined, delta: undefined };
  }

  async run(): Promise<void> {
    try {
      const lives = [...this.scenario.lives, { steps: [], death: undefined, cut: 1 }];
      let isCrash = false;
      for (const life of lives) {
        await this.#live(life, isCrash);
        // A plain file is let go of without a sync, as loop.c does.
        isCrash = life.death !== undefined || this.noted.delta === undefined;
      }
    } finally {
      this.mount.set({});
      for (const name of readdirSync(this.mount.file())) rmSync(this.mount.file(name));
    }
  }

  newFile(kind: string): string {
    const file = this.mount.file(`${kind}-${++names}`);
    this.files.add(file);
    return file;
  }

  /** Nothing is durable any more. It counts as a change itself. */
  isDead(): boolean {
    try {
      truncateSync(this.#probe);
      return false;
    } catch {
      return true;
    }
  }

  async #live(life: Life, isCrash: boolean): Promise<void> {
    const control = new LoopControl();
    control.recordIn(this.#ledger());
    try {
      await this.#begin(control, isCrash);
      await control.device(0).idle();
      if (life.death !== undefined) this.mount.set({ die: life.death });
      const device = new LiveDevice(this, control);
      await device.use(life.steps);
      if (life.death !== undefined) this.mount.set({ die: 1 });
      await this.lanes.attach(null);
      // A rebind that the end of the power cut short leaves it unbound.
      if (control.device(0).state === 'bound') await control.device(0).loopClrFd({ force: true });
    } finally {
      this.mount.set({ die: 1 });
      await this.lanes.attach(null);
      for (const device of control.devices()) {
        if (device.state === 'bound') await device.loopClrFd({ force: true });
      }
      await control.idle();
    }
    const open = openFiles().filter((file) => this.files.has(file.replace(/ \(deleted\)$/, '')));
    deepStrictEqual(open, [], 'files that nobody has any more are open');
    this.mount.cutInPlace(life.cut);
  }

  /** After a cut: the delta is sound, and the disk is what it may be. */
  async #begin(control: LoopControl, isCrash: boolean): Promise<void> {
    const config = this.#present();
    const { delta } = config.overlay ?? {};
    if (delta !== undefined && existsSync(delta) && !this.isBaseLonger) {
      deepStrictEqual((await examineDelta(delta)).faults, []);
    }
    await control.ctlAdd(0);
    await control.device(0).loopConfigure(config);
    const device = new LiveDevice(this, control);
    const { size } = control.device(0).snapshot();
    if (size > this.model.size) this.model.grow(this.behind(size, config.file));
    const content = device.content(0);
    if (isCrash) this.model.found(content);
    else this.model.check(content);
    if (this.isBaseLonger) await device.growToBase();
    await device.checkKept();
  }

  /** What a disk shows behind its end when it has grown: what its base has, else zeroes. */
  behind(size: number, base: string): Buffer {
    const more = Buffer.alloc(size - this.model.size);
    readFileSync(base).subarray(this.model.size).copy(more);
    return more;
  }

  /** As the next daemon finds it; over a plain file there is a new delta. */
  #present(): LoopConfig {
    const { file, inode, alsoAt, delta } = this.noted;
    const force = this.isBaseLonger;
    if (delta !== undefined) return { file, overlay: { delta, force } };
    const isThere = (path: string): boolean =>
      existsSync(path) && statSync(path, { bigint: true }).ino === inode;
    const plain = alsoAt !== undefined && isThere(alsoAt) ? alsoAt : file;
    const { blockSize } = this.scenario;
    return { file: plain, overlay: { delta: this.newFile('delta'), blockSize } };
  }

  /** Beside the files, in memory that outlives a crash; a machine without power writes nothing. */
  #ledger(): Ledger {
    return {
      note: async (number, binding) => {
        if (this.isDead()) throw new Error('the ledger is dead, too');
        if (number === 0) this.noted = notedOf(binding);
      },
      forget: async () => {},
      forgetAnyway: async () => {},
      kept: () => undefined,
    };
  }
}

const notedOf = ({ file, alsoAt }: Binding): Noted => ({
  ...{ file: file.path, inode: file.identity.inode, alsoAt, delta: file.overlay?.delta },
});
