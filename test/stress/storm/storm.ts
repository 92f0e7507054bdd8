import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../../helpers/daemon.js';
import { NbdSession } from '../../helpers/nbd-session.js';
import { openFiles } from '../../helpers/open-files.js';
import { Random } from '../../helpers/random.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';
import { REGION_BYTES, type Sea, steadyClient, unsteadyClient } from './clients.js';
import { type Bridge, Finds, stableController, unstableController } from './controllers.js';
import { countKinds, type Kinds, leftOpen } from './kinds.js';
import { makePatternFile } from './pattern.js';
import { HONEST_DEVICE, PATTERN_BYTES, PATTERN_FILES, STABLE_DEVICES, WILD_DEVICE } from './plan.js';
import { Races } from './races.js';
import { Tally } from './tally.js';
import { honestClient, TROUBLED_BYTES, troublemaker, wildClient } from './trouble.js';

export interface StormOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly clients: number;
  readonly controllers: number;
  /** Told now and then how it goes. */
  readonly progress?: (text: string) => void;
}

/** What a storm left behind. */
export interface Aftermath {
  readonly tally: Tally;
  readonly lockdepReports: readonly string[];
  readonly openers: number;
  readonly inFlight: number;
  /** What the daemon has open: before the first device was added, and after the last was removed. */
  readonly descriptors: readonly [before: Kinds, after: Kinds];
  /** Resident bytes of the daemon: early in the storm, and after it. */
  readonly resident: readonly [early: number, after: number];
}

const PROGRESS_MS = 10_000;
/** When caches and code are warm, and heaps as large as they get: what memory is compared with, milliseconds. */
const WARM_MS = 60_000;
/** Engines give memory back when they have been idle for a while: so long they have for it, milliseconds. */
const REST_MS = 30_000;

const descriptorsOf = (pid: number): Kinds => countKinds(openFiles(pid));

const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024;

/**
 * A real daemon, many clients and controllers at random, for a while. Half of the clients verify what they wrote to
 * devices whose file stays, while all that may change about these changes; the others use devices that come and go. Two more devices have
 * faults, limits, power cuts and logs of writes.
 */
export async function storm(options: StormOptions): Promise<Aftermath> {
  using dir = new TempDir();
  const stableBytes = options.clients * REGION_BYTES;
  const stableFiles = Array.from({ length: STABLE_DEVICES }, (_, device) =>
    makeSparseFile(dir.file(`stable${device}`), stableBytes),
  );
  const patternFiles = Array.from({ length: PATTERN_FILES }, (_, file) =>
    makePatternFile(dir.file(`pattern${file}`), file, PATTERN_BYTES),
  );
  await using daemon = await Daemon.start({
    args: ['--reactors', '2', '--log-level', 'error'],
  });
  const tally = new Tally();
  const races = new Races(tally);
  await settledConnections(daemon);
  const before = descriptorsOf(daemon.pid);
  for (const [device, file] of stableFiles.entries()) {
    await daemon.client.add(device);
    await daemon.client.configure(device, { file });
  }
  for (const device of [HONEST_DEVICE, WILD_DEVICE]) {
    await daemon.client.add(device);
    const file = makeSparseFile(dir.file(`troubled${device}`), TROUBLED_BYTES);
    await daemon.client.configure(device, { file });
  }
  // A session of its own keeps autoclear from taking a stable device away.
  const holders = await Promise.all(
    stableFiles.map((_, device) => NbdSession.open(daemon.socket, `loop${device}`)),
  );

  const end = Date.now() + options.seconds * 1000;
  const over = (): boolean => Date.now() > end;
  const seeds = new Random(options.seed);
  const sea = (): Sea => ({ socket: daemon.socket, tally, races, over, random: new Random(seeds.next()) });
  const finds = new Finds();
  const bridge = (): Bridge => ({
    ...{ control: daemon.client, tally, races, over, random: new Random(seeds.next()) },
    ...{ stableFiles, patternFiles, stableBytes, finds },
  });
  const halves = (count: number): readonly boolean[] => Array.from({ length: count }, (_, i) => i % 2 === 0);
  const everybody = [
    ...halves(options.clients).map((steady, i) => (steady ? steadyClient(sea(), i) : unsteadyClient(sea()))),
    ...halves(options.controllers).map((stable) =>
      stable ? stableController(bridge()) : unstableController(bridge()),
    ),
    ...[honestClient(sea()), wildClient(sea()), wildClient(sea())],
    troublemaker(bridge(), dir.file(`troubled${WILD_DEVICE}`), dir.file('writes.log')),
  ];
  const early = sleep(Math.min(WARM_MS, options.seconds * 500)).then(() => residentOf(daemon.pid));
  const ticking = setInterval(() => options.progress?.(String(tally)), PROGRESS_MS);
  try {
    await Promise.all(everybody);
  } finally {
    clearInterval(ticking);
  }
  for (const holder of holders) holder.leave('disc');
  return { tally, ...(await afterwards(daemon, [before, await early])) };
}

/** Waits for sessions to end, takes every device away, and looks at what is left. */
async function afterwards(
  daemon: Daemon,
  [descriptors, resident]: readonly [Kinds, number],
): Promise<Omit<Aftermath, 'tally'>> {
  await settledConnections(daemon);
  const devices = await daemon.client.list();
  const sum = (of: (device: (typeof devices)[number]) => number): number =>
    devices.reduce((total, device) => total + of(device), 0);
  for (const { number, state } of devices) {
    if (state === 'bound') await daemon.client.clear(number);
    await daemon.client.remove(number);
  }
  const lockdep = await daemon.client.lockdep();
  await settledConnections(daemon);
  return {
    lockdepReports: lockdep.reports.map((report) => JSON.stringify(report)),
    openers: sum((device) => device.openers),
    inFlight: sum((device) => device.counters.inFlight),
    descriptors: [descriptors, await settledDescriptors(daemon.pid, descriptors)],
    resident: [resident, await settledResident(daemon.pid, resident)],
  };
}

async function settledResident(pid: number, expected: number): Promise<number> {
  const limit = Date.now() + REST_MS;
  while (residentOf(pid) > expected && Date.now() < limit) await sleep(200);
  return residentOf(pid);
}

/** The daemon may still be writing its state, which waits for the disk: only what stays open is a leak. */
async function settledDescriptors(pid: number, before: Kinds): Promise<Kinds> {
  // A thread that has nothing to do ends after 10 s.
  const limit = Date.now() + 30_000;
  while (leftOpen(before, descriptorsOf(pid)).length > 0 && Date.now() < limit) await sleep(50);
  return descriptorsOf(pid);
}

/** Waits until the daemon has seen its clients go; the control connection that asks is closed, too. */
async function settledConnections(daemon: Daemon): Promise<void> {
  const limit = Date.now() + 20_000;
  while ((await daemon.client.daemon()).connections > 0 && Date.now() < limit) await sleep(20);
  await sleep(200);
  // A last close lets go of the file, which waits for the disk where a volatile cache is written out.
  const isLettingGo = async (): Promise<boolean> =>
    (await daemon.client.list()).some(({ state }) => state === 'rundown');
  while ((await isLettingGo()) && Date.now() < limit) await sleep(50);
}
