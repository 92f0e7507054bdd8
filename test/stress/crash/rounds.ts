/**
 * Overlays under load, and crashes: the daemon is killed, or the power is cut, at any instant. After each crash every delta is
 * sound, and every sector holds what was flushed (after a kill: what was answered) or something that was written to it later.
 *
 * Bases and deltas lie on a file system that forgets, at a cut, what was not synced, page by page or not. Meanwhile
 * snapshots are taken, and deltas committed into their bases.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Examined, examineDelta } from '../../../driver/store/delta/examine.js';
import { Daemon } from '../../helpers/daemon.js';
import { FuseMount } from '../../helpers/fuse/fuse-mount.js';
import { Random } from '../../helpers/random.js';
import { TempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';
import { isCut } from '../kill/rounds.js';
import { type Crash, SECTOR, Sectors, stamp, Value, valueIn } from './sectors.js';
import { readDisk, Writer } from './writer.js';

export interface CrashOptions {
  readonly rounds: number;
  readonly seed: number;
  /** A disk that loses what it was told to sync: the negative control. */
  readonly liar?: boolean;
  readonly progress?: (text: string) => void;
}

export interface CrashReport {
  readonly faults: string[];
  readonly counts: ReadonlyMap<string, number>;
  readonly requests: number;
}

const DISKS = 3;
/** Sectors of a disk, which ends within a block. */
const SECTORS = 2051;
/** Requests that are answered before a crash, at most, and milliseconds that this may take. */
const MOST_REQUESTS = 400;
const LONGEST_LIFE = 5000;
/** Layers at which a disk gets a new base and delta. */
const MOST_LAYERS = 8;

export async function crashRounds(options: CrashOptions): Promise<CrashReport> {
  using directory = new TempDir();
  await using files = await FuseMount.mount({ volatile: true, faults: { lie: options.liar ?? false } });
  return await new Crashes(directory, files, new Random(options.seed)).run(options);
}

interface Disk {
  readonly number: number;
  /** Counts the pairs of base and delta that it had. */
  readonly generation: number;
  readonly base: string;
  readonly delta: string;
  readonly sectors: Sectors;
  /** Snapshots that were asked for. */
  snapshots: number;
}

class Crashes {
  readonly #faults: string[] = [];
  readonly #counts = new Map<string, number>();
  readonly #disks: Disk[] = [];
  #requests = 0;
  #value = 0;

  constructor(
    private readonly directory: TempDir,
    private readonly files: FuseMount,
    private readonly random: Random,
  ) {
    for (let number = 0; number < DISKS; number++) this.#disks.push(this.#make(number, 0));
  }

  async run({ rounds, progress }: CrashOptions): Promise<CrashReport> {
    let last: Crash | undefined;
    for (let round = 1; round <= rounds && this.#faults.length === 0; round++) {
      const crash = this.random.chance(0.5) ? 'cut' : 'kill';
      await this.#round(last, crash, `round ${round}, after ${last ?? 'nothing'}`);
      last = crash;
      this.#count(crash);
      progress?.(`round ${round}: ${crash}, ${this.#requests} requests`);
    }
    return { faults: this.#faults, counts: this.#counts, requests: this.#requests };
  }

  async #round(last: Crash | undefined, crash: Crash, when: string): Promise<void> {
    if (last !== 'kill') for (const disk of this.#disks) await this.#examine(disk, when);
    await using daemon = await Daemon.start({
      directory: this.directory,
      args: ['--handover', '--log-level', 'error'],
    });
    if (last === 'kill') await this.#compareDevices(daemon, when);
    else for (const disk of this.#disks) await this.#bind(daemon, disk, when);
    for (const disk of this.#disks) await this.#verify(daemon, disk, last ?? 'cut', when);
    if (this.#faults.length > 0) return;
    await this.#load(daemon, crash);
    if (crash === 'cut') {
      await this.files.cutPower(1 + this.random.below(2 ** 31));
      rmSync(this.directory.file('state'), { recursive: true, force: true });
    }
  }

  /** Ends with the daemon's death. */
  async #load(daemon: Daemon, crash: Crash): Promise<void> {
    const writers = this.#disks.map(
      ({ sectors }) => new Writer(sectors, new Random(this.random.next()), () => ++this.#value),
    );
    const running = writers.map((writer, number) =>
      writer.run(daemon.socket, `loop${number}`).catch((error: unknown) => {
        if (!daemon.process.isOver) this.#fault(`loop${number}: ${String(error)}`);
      }),
    );
    const answered = (): number => writers.reduce((sum, { requests }) => sum + requests, 0);
    const end = Date.now() + LONGEST_LIFE;
    const reach = async (requests: number): Promise<void> => {
      while (answered() < requests && Date.now() < end) await sleep(2);
    };
    const most = this.random.below(MOST_REQUESTS);
    const operations = this.#disks.map(async (disk) => {
      await reach(this.random.below(most + 1));
      await this.#operate(daemon, disk);
    });
    await reach(most);
    // A killed process is as good as a machine without power until the files are looked at.
    await daemon.kill();
    for (const writer of writers) writer.stop();
    await Promise.all([...running, ...operations]);
    this.#requests += answered();
    if (crash === 'cut') for (const disk of this.#disks) this.#renew(disk);
  }

  /** What an administrator does meanwhile; a daemon that dies leaves it open. */
  async #operate(daemon: Daemon, disk: Disk): Promise<void> {
    const { number, generation } = disk;
    const what = this.random.weighted([
      [5, 'nothing'],
      [3, 'snapshot'],
      [2, 'commit'],
    ]);
    try {
      if (what === 'snapshot') {
        const file = this.#snapshot(number, generation, disk.snapshots++);
        await daemon.client.snapshot({ devices: [{ number, file }] });
      } else if (what === 'commit') {
        await daemon.client.commit(number);
      } else return;
      this.#count(what);
    } catch (error) {
      if (!isCut(daemon, error)) this.#fault(`loop${number}: ${what}: ${String(error)}`);
    }
  }

  /** Before a disk is bound after a cut: a chain that is long is left for a new one. */
  #renew(disk: Disk): void {
    if (disk.snapshots < MOST_LAYERS) return;
    this.#disks[disk.number] = this.#make(disk.number, disk.generation + 1);
  }

  #make(number: number, generation: number): Disk {
    const base = this.files.file(`base-${number}-${generation}`);
    const delta = this.files.file(`delta-${number}-${generation}`);
    const content = Array.from({ length: SECTORS }, (_, sector) => stamp(Value.BASE, sector));
    writeFileSync(base, Buffer.concat(content), { flush: true });
    return { number, generation, base, delta, sectors: new Sectors(SECTORS), snapshots: 0 };
  }

  async #examine(disk: Disk, when: string): Promise<void> {
    for (const { path, faults } of await this.#deltas(disk)) {
      for (const fault of faults) this.#fault(`${when}: ${path} of loop${disk.number}: ${fault}`);
    }
  }

  async #deltas({ delta, number, generation, snapshots }: Disk): Promise<Examined[]> {
    const names = Array.from({ length: snapshots }, (_, index) => this.#snapshot(number, generation, index));
    const all = await Promise.all([delta, ...names].filter(existsSync).map(examineDelta));
    // One that was being made for a snapshot stays behind, and is nobody's: it was to change names with its base.
    return all.filter(
      ({ path, header }) => path === delta || (header !== undefined && header.base.path !== path),
    );
  }

  #snapshot(number: number, generation: number, index: number): string {
    return this.files.file(`snapshot-${number}-${generation}-${index}`);
  }

  /** With the delta over which there is none; what was committed is in the base. */
  async #bind(daemon: Daemon, disk: Disk, when: string): Promise<void> {
    const { number, base } = disk;
    const deltas = await this.#deltas(disk);
    const isBelow = ({ header }: Examined): boolean =>
      deltas.some((other) => other.header?.base.uuid === header?.uuid);
    const top = deltas.find((one) => !isBelow(one))?.path ?? disk.delta;
    await daemon.client.add(number);
    const bound = daemon.client.configure(number, { file: base, overlay: { delta: top } });
    await bound.catch((error: unknown) =>
      this.#fault(`${when}: loop${number} can't be bound: ${String(error)}`),
    );
  }

  /** After a kill every device comes back by itself, as the overlay it was or as the base into which it was committed. */
  async #compareDevices(daemon: Daemon, when: string): Promise<void> {
    const down = await until('all devices are there', async () => {
      const waiting = await daemon.client.unrecovered();
      return waiting.some(({ message }) => message.includes('still being brought back'))
        ? undefined
        : waiting;
    });
    for (const { number, message } of down) this.#fault(`${when}: loop${number} is down: ${message}`);
    for (const disk of this.#disks) {
      const device = (await daemon.client.list()).find(({ number }) => number === disk.number);
      if (device?.state !== 'bound') this.#fault(`${when}: loop${disk.number} did not come back`);
      else if (device.delta === null) {
        this.#count('committed');
        await daemon.client.clear(disk.number, { force: true });
        await daemon.client.configure(disk.number, { file: disk.base, overlay: { delta: disk.delta } });
      }
    }
  }

  async #verify(daemon: Daemon, disk: Disk, crash: Crash, when: string): Promise<void> {
    if (this.#faults.length > 0) return;
    const content = await readDisk(daemon.socket, `loop${disk.number}`, SECTORS * SECTOR);
    for (let sector = 0; sector < SECTORS; sector++) {
      const bytes = content.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      const value = valueIn(bytes, sector);
      const may = disk.sectors.may(sector, crash);
      if (value !== undefined && disk.sectors.found(sector, value, crash)) continue;
      const found = value ?? JSON.stringify(bytes.toString('latin1', 0, 40));
      this.#fault(`${when}: loop${disk.number}, sector ${sector} holds ${found}, and may hold ${may}`);
      return;
    }
  }

  #fault(text: string): void {
    this.#faults.push(text);
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}
