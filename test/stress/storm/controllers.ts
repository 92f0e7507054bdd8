import { truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Mutex } from 'async-mutex';
import type { ControlClient } from '../../../driver/control/client.js';
import type { Random } from '../../helpers/random.js';
import { LIMITS, OFFSETS, PATTERN_FILES, STABLE_DEVICES, UNSTABLE_NUMBERS } from './plan.js';
import type { Races } from './races.js';
import type { Tally } from './tally.js';

/** A find takes any device that has no file: while the wild one may have none, nobody is to find it. */
export class Finds {
  readonly #turn = new Mutex();
  #isWildBound = true;

  find<T>(work: () => Promise<T>): Promise<T | undefined> {
    return this.#turn.runExclusive(async () => (this.#isWildBound ? work() : undefined));
  }

  /** It may lose its file from here on: at once, or at a last close. */
  clearWild<T>(work: () => Promise<T>): Promise<T> {
    return this.#turn.runExclusive(() => {
      this.#isWildBound = false;
      return work();
    });
  }

  /** `work` resolves with undefined where it was refused. */
  async bindWild(work: () => Promise<unknown>): Promise<void> {
    if ((await work()) !== undefined) this.#isWildBound = true;
  }
}

/** What controllers share. */
export interface Bridge {
  readonly finds: Finds;
  readonly control: ControlClient;
  readonly tally: Tally;
  readonly races: Races;
  readonly random: Random;
  readonly over: () => boolean;
  /** Paths. */
  readonly stableFiles: readonly string[];
  readonly patternFiles: readonly string[];
  /** No stable device is ever made smaller than this, bytes. */
  readonly stableBytes: number;
}

type Deed = readonly [weight: number, run: (bridge: Bridge, device: number) => Promise<unknown>];

/** Runs an operation whose refusals are part of the game. */
const deed = (
  weight: number,
  name: string,
  allowed: readonly string[],
  work: (bridge: Bridge, device: number) => Promise<unknown>,
): Deed => [weight, (bridge, device) => bridge.tally.attempt(name, allowed, work(bridge, device))];

const GONE = ['ENODEV', 'ENXIO'];

const someFile = ({ random, patternFiles }: Bridge): string =>
  patternFiles[random.below(PATTERN_FILES)] ?? '';

const someConfig = (bridge: Bridge) => {
  const { random } = bridge;
  return {
    file: someFile(bridge),
    offset: random.pick(OFFSETS),
    sizeLimit: random.pick(LIMITS),
    blockSize: random.pick([512, 4096]),
    readOnly: random.chance(0.3),
    autoclear: random.chance(0.3),
    directIo: random.chance(0.3),
  };
};

/**
 * What writes back, and tells how that went. These devices share files: where one goes through the page cache and
 * another past it, the kernel may find the cache busy after a direct write ("Page cache invalidation failure on direct
 * I/O" in its log), and the next fsync of the file is EIO.
 */
const WRITES_BACK = [...GONE, 'EIO'];

/** What is done to devices that come and go. */
const UNSTABLE: readonly Deed[] = [
  deed(20, 'configure', ['EBUSY', 'ENODEV'], (bridge, device) =>
    bridge.control.configure(device, someConfig(bridge)),
  ),
  deed(10, 'clear', GONE, ({ control, races }, device) => races.clear(device, control.clear(device))),
  deed(3, 'clear by force', GONE, ({ control, races }, device) =>
    races.clear(device, control.clear(device, { force: true })),
  ),
  deed(8, 'set status', WRITES_BACK, ({ control, random }, device) =>
    control.settings(device, {
      offset: random.pick(OFFSETS),
      sizeLimit: random.pick(LIMITS),
      autoclear: random.chance(0.3),
    }),
  ),
  deed(6, 'set direct I/O', [...WRITES_BACK, 'EINVAL'], ({ control, random }, device) =>
    control.directIo(device, random.chance(0.6)),
  ),
  deed(4, 'set block size', WRITES_BACK, ({ control, random }, device) =>
    control.blockSize(device, random.pick([512, 1024, 4096])),
  ),
  deed(6, 'change file', [...GONE, 'EINVAL'], (bridge, device) =>
    bridge.control.changeFile(device, someFile(bridge)),
  ),
  deed(3, 'set capacity', GONE, ({ control }, device) => control.capacity(device)),
  deed(8, 'add', ['EEXIST'], ({ control }, device) => control.add(device)),
  deed(3, 'remove', ['EBUSY', 'ENODEV'], ({ control }, device) => control.remove(device)),
  deed(2, 'status', ['ENODEV'], ({ control }, device) => control.device(device)),
  deed(2, 'find', [], findWhereThereIsRoom),
];

/** Devices that have faults. */
const TROUBLED = 2;

/** Adds no device beyond the last of the unstable ones: only where one of them is free now. */
async function findWhereThereIsRoom(bridge: Bridge): Promise<unknown> {
  const devices = await bridge.control.list();
  if (devices.length >= STABLE_DEVICES + UNSTABLE_NUMBERS.length + TROUBLED - 1) return undefined;
  return bridge.finds.find(() => bridge.control.find(someConfig(bridge)));
}

/** What is done to devices whose data must stay as it is. */
const STABLE: readonly Deed[] = [
  deed(10, 'toggle direct I/O', ['EINVAL'], ({ control, random }, device) =>
    control.directIo(device, random.chance(0.5)),
  ),
  deed(5, 'toggle block size', [], ({ control, random }, device) =>
    control.blockSize(device, random.pick([512, 1024, 2048, 4096])),
  ),
  deed(5, 'toggle autoclear', [], ({ control, random }, device) =>
    control.settings(device, { offset: 0, autoclear: random.chance(0.5) }),
  ),
  // Sessions have it open: the clear is left to a last close that does not come.
  deed(2, 'clear at the last close', [], ({ control }, device) => control.clear(device)),
  deed(5, 'grow or shrink', [], async ({ control, random, stableFiles, stableBytes }, device) => {
    truncateSync(stableFiles[device] ?? '', stableBytes + 512 * random.below(4096));
    return control.capacity(device);
  }),
];

export async function unstableController(bridge: Bridge): Promise<void> {
  const { random } = bridge;
  while (!bridge.over()) {
    await random.weighted(UNSTABLE)(bridge, random.pick(UNSTABLE_NUMBERS));
    if (random.chance(0.2)) await sleep(random.below(5));
  }
}

export async function stableController(bridge: Bridge): Promise<void> {
  const { random } = bridge;
  while (!bridge.over()) {
    await random.weighted(STABLE)(bridge, random.below(STABLE_DEVICES));
    await sleep(random.below(20));
  }
}
