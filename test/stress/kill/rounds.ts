/**
 * Rounds of an administrator who binds, lets go, recovers, moves, deletes and copies files, while daemons are killed at
 * any moment, ended or taken over from; and of clients that write all the time.
 *
 * After each round every byte of every file is what was there, or what somebody wrote to that file.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlError } from '../../../driver/control/client.js';
import type { DeviceStatus } from '../../../driver/control/messages.js';
import { Daemon } from '../../helpers/daemon.js';
import { Random } from '../../helpers/random.js';
import { TempDir } from '../../helpers/temp.js';
import { TrustingClient } from './client.js';
import { type Image, Images } from './images.js';

export interface KillOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly progress?: (text: string) => void;
}

export interface KillReport {
  readonly faults: string[];
  readonly counts: ReadonlyMap<string, number>;
  readonly requests: number;
}

/** A device that the administrator has, as the administrator knows it. */
interface Holding {
  readonly number: number;
  readonly uuid: string;
  image: Image;
  /** Where the daemon looks for it after a crash. */
  path: string;
  readonly client: TrustingClient;
}

/** What was asked for and not answered, as the daemon was killed. */
interface Open {
  readonly kind: 'bind' | 'detach' | 'recover';
  readonly image?: Image | undefined;
  readonly number?: number;
}

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
const MOST_DEVICES = 4;
/** A daemon is left alone for so long at most before its end, milliseconds. */
const LONGEST_LIFE = 400;

export async function killRounds(options: KillOptions): Promise<KillReport> {
  using directory = new TempDir();
  using files = new TempDir();
  const administrator = new Administrator(directory, files, new Random(options.seed));
  return await administrator.run(options);
}

/** Whether an operation has no answer because the daemon was killed. */
export const isCut = (daemon: Daemon, error: unknown): boolean =>
  daemon.process.isOver ||
  (error instanceof ControlError && /^(ECONNRESET|ECONNREFUSED|EPIPE|ENOENT)$/.test(error.errno));

type Ending = 'kill' | 'term' | 'handover' | 'kill while it starts';

class Administrator {
  readonly #images: Images;
  readonly #holdings = new Map<number, Holding>();
  readonly #faults: string[] = [];
  readonly #counts = new Map<string, number>();
  #daemon: Daemon | undefined;
  #open: Open | undefined;
  #tokens = 0;
  #writes = 0;
  #isHandedOver = false;
  /** Devices that are down in the daemon that runs: it has no open file of theirs to hand over. */
  #down = new Set<number>();

  constructor(
    private readonly directory: TempDir,
    files: TempDir,
    private readonly random: Random,
  ) {
    this.#images = new Images(files.path);
    for (const name of NAMES.slice(0, 3)) this.#images.make(name);
  }

  async run({ rounds, progress }: KillOptions): Promise<KillReport> {
    try {
      for (let round = 1; round <= rounds && this.#faults.length === 0; round++) {
        const ending = await this.#round();
        this.#count(ending);
        // What is written just now may be read half.
        if (this.#daemon === undefined) this.#verify(`round ${round} (${ending})`);
        progress?.(`round ${round}: ${ending}, ${this.#holdings.size} devices`);
      }
    } finally {
      await this.#daemon?.kill();
      this.#verify('at the end');
      for (const { client } of this.#holdings.values()) await this.#dismiss(client);
      this.#images.close();
    }
    return { faults: this.#faults, counts: this.#counts, requests: this.#writes };
  }

  /** A daemon's life: it starts, is used, and ends one way or the other. */
  async #round(): Promise<Ending> {
    const daemon = await this.#start();
    if (daemon === undefined) return 'kill while it starts';
    await this.#compare(daemon);
    const ending = this.random.weighted<Ending>([
      [6, 'kill'],
      [2, 'term'],
      [3, 'handover'],
    ]);
    const end = (async () => {
      await sleep(this.random.below(LONGEST_LIFE));
      if (ending === 'kill') await daemon.kill();
    })();
    await this.#use(daemon, end);
    await end;
    if (ending === 'term' && (await daemon.stop()).status !== 0) this.#fault('a daemon did not end well');
    if (ending !== 'handover') {
      this.#daemon = undefined;
      for (let i = this.random.below(4); i > 0; i--) this.#befall();
    }
    this.#isHandedOver = ending === 'handover';
    return ending;
  }

  /** Undefined when it was killed before it served. */
  async #start(): Promise<Daemon | undefined> {
    const before = this.#daemon;
    if (before !== undefined) for (let i = this.random.below(3); i > 0; i--) this.#befall();
    const daemon = Daemon.launch(this.directory, { args: ['--handover', '--log-level', 'error'] });
    if (before === undefined && this.random.chance(0.2)) {
      await sleep(this.random.below(600));
      await daemon.kill();
      return undefined;
    }
    await before?.process.ended;
    await daemon.process.waitForOutput(/control socket/);
    this.#daemon = daemon;
    return daemon;
  }

  /** What came back is what was there, and what is down could not come back. */
  async #compare(daemon: Daemon): Promise<void> {
    const devices = (await daemon.client.list()).filter(({ state }) => state === 'bound');
    const down = await daemon.client.unrecovered();
    for (const holding of this.#holdings.values()) {
      const { number, uuid, image, path } = holding;
      const device = devices.find((one) => one.number === number);
      const isDown = down.some((one) => one.number === number && one.uuid === uuid);
      const isAsked = this.#open?.kind !== 'bind' && this.#open?.number === number;
      if (device === undefined && !isDown && !isAsked) this.#fault(`loop${number} is forgotten`);
      const isHandedOver = this.#isHandedOver && !this.#down.has(number);
      const isThere = isHandedOver || this.#images.named(path) === image;
      if (device === undefined && isThere && !isAsked) {
        const why = down.find((one) => one.number === number)?.message;
        this.#fault(`loop${number} is down, and its file is there (${path}): ${why}`);
      }
      if (device !== undefined) this.#sameDevice(holding, device);
      // Which of two files it waits for was not answered.
      if (isDown && isAsked) await daemon.client.clear(number, { force: true });
      if (device === undefined && (!isDown || isAsked)) await this.#forget(holding);
    }
    for (const device of devices) {
      if (!this.#holdings.has(device.number)) this.#adopt(device);
    }
    this.#open = undefined;
    this.#down = new Set(down.map(({ number }) => number));
  }

  #sameDevice(holding: Holding, device: DeviceStatus): void {
    const { number, uuid } = holding;
    const wanted = this.#open;
    if (
      wanted?.kind === 'recover' &&
      wanted.number === number &&
      wanted.image?.inode === device.backingInode
    ) {
      holding.image = wanted.image ?? holding.image;
    }
    if (device.uuid !== uuid) this.#fault(`loop${number} has another uuid`);
    if (device.backingInode !== holding.image.inode) this.#fault(`loop${number} serves another file`);
    holding.path = device.file ?? '';
  }

  /** A bind that was not answered, or the device that a bind has just made. */
  #adopt(device: DeviceStatus, image: Image | undefined = this.#open?.image): void {
    const { number, uuid, file } = device;
    if (image?.inode !== device.backingInode || uuid === null || file === null) {
      this.#fault(`nobody asked for loop${number} with ${file}`);
      return;
    }
    const token = ++this.#tokens;
    image.writers.add(token);
    const client = new TrustingClient(this.directory.file('nbd.sock'), device.name, token);
    this.#holdings.set(number, { number, uuid, image, path: file, client });
  }

  /** Operations one after the other, until the daemon's end. */
  async #use(daemon: Daemon, end: Promise<void>): Promise<void> {
    let isOver = false;
    void end.then(() => {
      isOver = true;
    });
    while (!isOver) {
      try {
        await this.#operate(daemon);
      } catch (error) {
        // A connection that ended leaves open what was asked for; refusals are fine.
        if (isCut(daemon, error)) return;
        if (!(error instanceof ControlError)) throw error;
        this.#open = undefined;
        this.#count(`refused ${error.errno}`);
      }
      await sleep(this.random.below(20));
    }
  }

  async #operate(daemon: Daemon): Promise<void> {
    const operation = this.random.weighted([
      [5, 'bind'],
      [3, 'detach'],
      [3, 'recover'],
      [4, 'files'],
    ]);
    if (operation === 'files') this.#befall();
    else if (operation === 'bind') await this.#bind(daemon);
    else if (operation === 'detach') await this.#detach(daemon);
    else await this.#recover(daemon);
  }

  async #bind(daemon: Daemon): Promise<void> {
    const file = this.#images.path(this.random.pick(NAMES));
    if (!existsSync(file) || this.#holdings.size >= MOST_DEVICES) return;
    const image = this.#images.named(file);
    this.#open = { kind: 'bind', image };
    const device = await daemon.client.find({ file });
    this.#open = undefined;
    if (this.#holdings.has(device.number)) this.#fault(`loop${device.number} is given away twice`);
    else this.#adopt(device, image);
    this.#count('bound');
  }

  async #detach(daemon: Daemon): Promise<void> {
    const holding = this.#some();
    if (holding === undefined) return;
    const { number } = holding;
    await holding.client.stop();
    this.#open = { kind: 'detach', number };
    this.#count((await daemon.client.clear(number, { force: true })).outcome);
    this.#open = undefined;
    await this.#forget(holding);
  }

  async #recover(daemon: Daemon): Promise<void> {
    const [down] = await daemon.client.unrecovered();
    const holding = down === undefined ? undefined : this.#holdings.get(down.number);
    if (holding === undefined) return;
    const { number } = holding;
    const file = this.#images.path(this.random.pick(NAMES));
    const image = this.#images.named(file);
    const force = this.random.chance(0.3);
    this.#open = { kind: 'recover', image, number };
    // The client goes on with what its administrator vouches for.
    const isNew = force && image?.writers.has(holding.client.token) === false;
    if (isNew) image.writers.add(holding.client.token);
    const device = await daemon.client.recover(number, { file, force }).catch((error: unknown) => {
      if (isNew && !isCut(daemon, error)) image.writers.delete(holding.client.token);
      throw error;
    });
    if (image === undefined || (!force && image !== holding.image)) {
      this.#fault(`loop${number} was recovered with another file`);
    } else if (image !== holding.image) {
      holding.image = image;
      holding.client.answered.clear();
    }
    this.#open = undefined;
    this.#down.delete(number);
    holding.path = device.file ?? '';
    this.#count(force ? 'recovered by force' : 'recovered');
  }

  /** Something happens to files, which nobody asks the daemon about. */
  #befall(): void {
    const [here, there] = [this.random.pick(NAMES), this.random.pick(NAMES)];
    const [isHere, isThere] = [here, there].map((name) => existsSync(this.#images.path(name)));
    if (here === there) return;
    const what = this.random.weighted([
      [3, 'moved'],
      [2, 'removed'],
      [2, 'copied'],
      [3, 'made'],
    ]);
    if (what === 'made' && !isHere) this.#images.make(here);
    else if (what === 'removed' && isHere) this.#images.remove(here);
    else if (what === 'moved' && isHere) this.#images.move(here, there);
    else if (what === 'copied' && isHere && !isThere) this.#images.copy(here, there);
    else return;
    this.#count(what);
  }

  #verify(when: string): void {
    for (const fault of this.#images.faults()) this.#fault(`${when}: ${fault}`);
    // What was answered is there, unless somebody else wrote over it.
    for (const { number, image, client } of this.#holdings.values()) {
      for (const [sector, answered] of client.answered) {
        const found = this.#images.lastWrite(image, sector);
        const isOthers = found !== undefined && found.token !== client.token;
        if (!isOthers && (found === undefined || found.sequence < answered)) {
          this.#fault(`${when}: loop${number} has lost what was written to sector ${sector}`);
        }
      }
    }
  }

  #some(): Holding | undefined {
    const all = [...this.#holdings.values()];
    return all.length === 0 ? undefined : this.random.pick(all);
  }

  async #forget(holding: Holding): Promise<void> {
    this.#holdings.delete(holding.number);
    await this.#dismiss(holding.client);
  }

  async #dismiss(client: TrustingClient): Promise<void> {
    await client.stop();
    this.#writes += client.writes;
  }

  #fault(text: string): void {
    this.#faults.push(text);
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}
