/** Power cuts under a mounted file system, one after the other: no machine is started again for one. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, runOk } from '../helpers/process.js';
import { Random } from '../helpers/random.js';
import { tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';
import type { CutDisk } from './cut-disk.js';
import { FileLoad } from './file-load.js';
import type { Load } from './load.js';
import { SqliteLoad } from './sqlite-load.js';

/** What is on the disk, and what runs on it. */
interface Setting {
  readonly make: readonly string[];
  readonly options: string;
  /** Looks at it unmounted, mended by its journal, and mends what it may: the program's words, and statuses that are well. */
  readonly fsck: readonly string[];
  readonly well: readonly number[];
  /** The journal is replayed by a mount, not by fsck. */
  readonly replaysByMount: boolean;
  readonly bytes: number;
  readonly load: (random: Random) => Load;
}

const MIB = 1 << 20;
const files = (random: Random): Load => new FileLoad(random, false);
const ext4 = {
  make: ['mkfs.ext4', '-q', '-F'],
  fsck: ['e2fsck', '-fy'],
  well: [0, 1],
  replaysByMount: false,
  bytes: 64 * MIB,
};

export const SETTINGS = {
  'ext4-ordered': { ...ext4, options: 'data=ordered', load: files },
  'ext4-writeback': {
    ...ext4,
    options: 'data=writeback',
    load: (random: Random): Load => new FileLoad(random, true),
  },
  xfs: {
    make: ['mkfs.xfs', '-q', '-f'],
    // A copy of the mount that is gone may live on in a name space of somebody else's.
    options: 'nouuid',
    fsck: ['xfs_repair', '-n'],
    well: [0],
    replaysByMount: true,
    bytes: 320 * MIB,
    load: files,
  },
  sqlite: { ...ext4, options: 'data=ordered', load: (): Load => new SqliteLoad() },
} satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;

export interface Rounds {
  readonly setting: SettingName;
  readonly cuts: number;
  readonly seed: number;
  readonly disk: CutDisk;
  /** Where it is mounted: a directory. */
  readonly directory: string;
  readonly progress?: (text: string) => void;
  /** Before each round, when the disk is plugged in and mounted. */
  readonly before?: () => Promise<unknown>;
}

export interface RoundsResult {
  readonly cuts: number;
  /** Steps of the load. */
  readonly steps: number;
  /** Writes that were not durable when the power went, and those of them that were kept, all or in part. */
  readonly writes: number;
  readonly kept: number;
  readonly torn: number;
  /** What was not as it must be, with the seed of the cut; the first of it ends the rounds. */
  readonly wrong: readonly string[];
}

/** The power goes after so many steps of the load, at most, or after so long, ms. */
const STEPS = 120;
const PATIENCE_MS = 5000;

export async function cutRounds(rounds: Rounds): Promise<RoundsResult> {
  try {
    return await cutOnAndOn(rounds);
  } catch (error) {
    await run(tool('umount'), ['--lazy', rounds.directory]);
    throw error;
  }
}

async function cutOnAndOn({
  setting: name,
  cuts,
  seed,
  disk,
  directory,
  ...told
}: Rounds): Promise<RoundsResult> {
  const setting: Setting = SETTINGS[name];
  const load = setting.load(new Random(seed));
  const sum = { writes: 0, kept: 0, torn: 0 };
  await disk.plugIn();
  await runOk(tool(setting.make[0] ?? ''), [...setting.make.slice(1), disk.node], LONG);
  for (let round = 0; round < cuts; round++) {
    const random = new Random(seed + round);
    await mount(setting, disk, directory);
    await told.before?.();
    await disk.slowDown();
    let isOver = false;
    const running = load
      .start(directory, () => isOver)
      .catch((error: unknown) => {
        if (!isOver) throw error;
      });
    const target = load.done + 5 + random.below(STEPS);
    const limit = Date.now() + PATIENCE_MS;
    const timer = (async () => {
      while (load.done < target && Date.now() < limit) await sleep(2);
    })();
    await Promise.race([timer, running]);
    isOver = true;
    load.seal();
    const left = await disk.cut(seed + round);
    await running;
    await unmount(directory);
    await disk.unplug();
    sum.writes += left.writes;
    sum.kept += left.kept;
    sum.torn += left.torn;
    await disk.plugIn();
    const wrong = await lookAt(setting, disk, directory, load);
    told.progress?.(`cut ${round + 1}: ${left.writes} writes, ${left.kept} kept, ${load.done} steps so far`);
    if (wrong.length > 0) {
      await disk.unplug();
      return { cuts: round + 1, steps: load.done, ...sum, wrong: [`seed ${seed + round}`, ...wrong] };
    }
  }
  await disk.unplug();
  return { cuts, steps: load.done, ...sum, wrong: [] };
}

/** What is wrong with the file system, and with what is in it. It is plugged in, and not mounted, before and after. */
async function lookAt(setting: Setting, disk: CutDisk, directory: string, load: Load): Promise<string[]> {
  if (setting.replaysByMount) {
    await mount(setting, disk, directory);
    await unmount(directory);
    await isLetGo(disk.node);
  }
  const [fsck = '', ...words] = setting.fsck;
  const { status, stdout, stderr } = await run(tool(fsck), [...words, disk.node], LONG);
  if (!setting.well.includes(status ?? -1)) return [`${fsck} ended with ${status}`, stdout, stderr];
  await mount(setting, disk, directory);
  const wrong = await load.check(directory);
  await unmount(directory);
  await isLetGo(disk.node);
  return wrong;
}

const LONG = { timeoutMs: 300_000 };

async function mount({ options }: Setting, disk: CutDisk, directory: string): Promise<void> {
  await runOk(tool('mount'), ['-o', options, disk.node, directory], LONG);
}

async function unmount(directory: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { status, stderr } = await run(tool('umount'), [directory], LONG);
    if (status === 0) return;
    if (tries > 100) throw new Error(stderr);
    await sleep(50);
  }
}

/** Whoever made a mount name space meanwhile has a copy of the mount, and what is mounted is not written out before that is gone. */
async function isLetGo(node: string): Promise<void> {
  await until(
    `nobody has ${node} mounted`,
    async () => {
      try {
        await (await open(node, constants.O_RDONLY | constants.O_EXCL)).close();
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
        return undefined;
      }
    },
    LONG.timeoutMs,
  );
}
