/**
 * Looks whether what devices have open on file systems of several hosts is open on all of them, and has it opened once more
 * where it is not: a storage node that was away and came back counts again, before the next one goes.
 */
import { FileLane } from './io/file-lanes.js';
import { descriptorsMissing, glusterMounts } from './io/replicas.js';
import type { LoopControl } from './loop/loop-control.js';
import type { LoopDevice } from './loop/loop-device.js';

/** Looked at so often, milliseconds. */
const LOOK_MS = 5000;
/** What is still missing afterwards is another program's, or soon to be there: looked into after this, and twice as long each time. */
const AGAIN_MS = 60_000;
const LONGEST_MS = 3_600_000;

export interface RenewalsParts {
  readonly loops: LoopControl;
  readonly log: {
    info(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  /** Milliseconds between two looks. */
  readonly lookMs?: number;
}

/** What was seen of a mount. */
interface Sight {
  /** At the last look. What is missing for a moment only is about to be opened or closed. */
  before: number;
  /** That many were missing when all of ours had been opened anew. */
  others: number;
  waitMs: number;
  /** `performance.now()` from which on `others` counts no more. */
  due: number;
}

export class Renewals {
  readonly #sights = new Map<string, Sight>();
  #isLooking = false;
  readonly #timer: NodeJS.Timeout;

  constructor(readonly parts: RenewalsParts) {
    this.#timer = setInterval(() => void this.#look(), parts.lookMs ?? LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const mounts = new Set(await glusterMounts());
      for (const [mount, devices] of this.#devicesOn(mounts)) await this.#lookAt(mount, devices);
      for (const mount of this.#sights.keys()) if (!mounts.has(mount)) this.#sights.delete(mount);
    } finally {
      this.#isLooking = false;
    }
  }

  #devicesOn(mounts: ReadonlySet<string>): Map<string, LoopDevice[]> {
    const found = new Map<string, LoopDevice[]>();
    for (const device of mounts.size === 0 ? [] : this.parts.loops.devices()) {
      if (device.lost !== undefined) continue;
      const on = new Set(device.openPaths.map((path) => FileLane.of(path).mount));
      for (const mount of on) if (mounts.has(mount)) found.set(mount, [...(found.get(mount) ?? []), device]);
    }
    return found;
  }

  async #lookAt(mount: string, devices: readonly LoopDevice[]): Promise<void> {
    const missing = await descriptorsMissing(mount);
    if (missing === undefined) return;
    const sight = this.#sights.get(mount) ?? { before: 0, others: 0, waitMs: AGAIN_MS, due: 0 };
    this.#sights.set(mount, sight);
    const isDue = performance.now() >= sight.due;
    const known = isDue ? 0 : Math.min(sight.others, missing);
    const isSure = missing > known && sight.before > known;
    sight.before = missing;
    if (!isSure) return;
    for (const device of devices) await this.#renew(device, mount);
    sight.others = (await descriptorsMissing(mount)) ?? 0;
    sight.before = sight.others;
    sight.waitMs = isDue && sight.others > 0 ? Math.min(2 * sight.waitMs, LONGEST_MS) : AGAIN_MS;
    sight.due = performance.now() + sight.waitMs;
  }

  async #renew(device: LoopDevice, mount: string): Promise<void> {
    const fields = { device: device.name, mount };
    try {
      await device.renewFile();
      this.parts.log.info(
        fields,
        `${device.name}: its file was opened anew, as a replica on ${mount} did not have it open`,
      );
    } catch (err) {
      this.parts.log.error(
        { ...fields, err },
        `${device.name}: its file, which a replica on ${mount} does not have open, could not be opened anew`,
      );
    }
  }
}
