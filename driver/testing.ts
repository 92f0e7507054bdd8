/**
 * nbdloop as a test bench: a disk that is served over NBD, and that fails as it is told. For tests of file systems, databases and
 * whatever else trusts a disk, with any runner.
 */
import { rmSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Daemon, startDaemon } from './daemon.js';
import { LoopError } from './errno.js';
import type { PowerCut, PowerCutResult } from './loop/bench.js';
import type { LoopDevice } from './loop/loop-device.js';
import { expectKnownProcessor } from './processor.js';
import { listed, type Replayed, replay } from './replay/replay.js';
import type { FaultEvent, FaultState, GivenRule } from './store/faults/rule.js';
import type { Limits, LimitsChange } from './store/limits/limits.js';

export type { PowerCut, PowerCutResult } from './loop/bench.js';
export type { Replayed } from './replay/replay.js';
export type { FaultEvent, FaultState, GivenRule as FaultRule } from './store/faults/rule.js';
export type { Limits, LimitsChange } from './store/limits/limits.js';

export interface TestDiskOptions {
  /** Bytes of a new disk, all zeroes. Default: 64 MiB. */
  readonly size?: number;
  /** A file to serve in place of a new one; it stays. */
  readonly file?: string;
  /** What is written is durable only once it is flushed, as with a disk. Default: true; false: at once. */
  readonly volatileCache?: boolean;
  /** Every write is logged, for `replay`. Default: false. */
  readonly log?: boolean;
  readonly faults?: readonly GivenRule[];
  readonly limits?: LimitsChange;
  /** Also serves it over TCP on this port of 127.0.0.1; 0: any free one. Default: over a Unix socket only. */
  readonly port?: number;
}

export interface ReplayOptions {
  /** The file that is written; made, or emptied. */
  readonly onto: string;
  /** Ends behind this mark. */
  readonly toMark?: string;
  /** Ends behind so many entries. */
  readonly toEntry?: number;
  /** A shell command that is run at each flush with a copy of the image as $NBDLOOP_IMAGE; the first failure ends it. */
  readonly eachFlush?: string;
}

const CLOSE_LIMIT_MS = 4000;
const DEFAULT_SIZE = 64 << 20;

/** Directories of disks that are not closed: whoever ends the process by a throw, or by `process.exit`, leaves none. */
const directories = new Set<string>();

const removeLeft = (): void => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
};

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'nbdloop-test-'));
  if (directories.size === 0) process.once('exit', removeLeft);
  directories.add(directory);
  return directory;
}

async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  directories.delete(directory);
  if (directories.size === 0) process.off('exit', removeLeft);
}

/** A served disk. Made by `TestDisk.start`. */
export class TestDisk implements AsyncDisposable {
  /** Hits so far, in order. */
  readonly hits: FaultEvent[] = [];
  #closed: Promise<void> | undefined;

  private constructor(
    private readonly daemon: Daemon,
    private readonly bound: LoopDevice,
    private readonly directory: string,
    /** What it stores: the file behind it. */
    readonly file: string,
    /** The log of writes; undefined without `log`. */
    readonly log: string | undefined,
  ) {
    daemon.loops.events.on('fault', (event) => this.hits.push(event));
  }

  /** Rejects, with nothing left behind, with an error that has an errno name and a sentence. */
  static async start(options: TestDiskOptions = {}): Promise<TestDisk> {
    expectKnownProcessor();
    const directory = await newDirectory();
    let daemon: Daemon | undefined;
    try {
      const file = options.file ?? (await newFile(join(directory, 'disk'), options.size ?? DEFAULT_SIZE));
      const listen = options.port === undefined ? [] : [{ host: '127.0.0.1', port: options.port }];
      daemon = await startDaemon({
        devices: [],
        listen,
        unix: join(directory, 'nbd.sock'),
        control: null,
        logLevel: 'silent',
        demonstrate: false,
      });
      const log = options.log === true ? join(directory, 'writes.log') : undefined;
      const { number } = await daemon.loops.findAndConfigure({
        file,
        volatileCache: options.volatileCache ?? true,
        ...(log === undefined ? {} : { logWrites: log }),
        ...(options.faults === undefined ? {} : { faults: options.faults }),
        ...(options.limits === undefined ? {} : { limits: options.limits }),
      });
      return new TestDisk(daemon, daemon.loops.device(number), directory, file, log);
    } catch (error) {
      await daemon?.drain(CLOSE_LIMIT_MS);
      await removeDirectory(directory);
      throw error;
    }
  }

  /** The NBD URI: `nbd+unix:///loop0?socket=...`. */
  get uri(): string {
    return this.uris[0] ?? '';
  }

  /** Every NBD URI, that of TCP too. */
  get uris(): readonly string[] {
    return this.daemon.uris(this.#device.name);
  }

  /** Path of the Unix socket; the export is `loop0`, which is also the default one. */
  get socket(): string {
    return join(this.directory, 'nbd.sock');
  }

  /** Bytes. */
  get size(): number {
    return this.#device.snapshot().size;
  }

  /** The fault rules in force, and what they came to. */
  get faults(): readonly FaultState[] {
    return this.#device.loopFaults();
  }

  /** Rules in place of all that there are, at once; each begins its sequence anew. */
  async setFaults(...rules: readonly GivenRule[]): Promise<void> {
    return this.#device.loopSetFaults(rules);
  }

  /** Rules beside those that there are. */
  async addFaults(...rules: readonly GivenRule[]): Promise<void> {
    return this.#device.loopAddFaults(rules);
  }

  /** Some of the rules, by name; others go on in their sequences. */
  async removeFaults(...ids: readonly string[]): Promise<void> {
    return this.#device.loopRemoveFaults(ids);
  }

  /** No rules any more; what hangs goes on. */
  async clearFaults(): Promise<void> {
    return this.#device.loopSetFaults([]);
  }

  /** What hangs goes on: by the rule of this name, or by all. */
  async release(id?: string): Promise<void> {
    return this.#device.loopReleaseFaults(id);
  }

  /** How much it may be asked for. */
  get limits(): Limits {
    return this.#device.loopLimits();
  }

  /** Null takes a limit away. */
  async limit(change: LimitsChange): Promise<void> {
    return this.#device.loopSetLimits(change);
  }

  /** The power goes: sessions end, what was not made durable is lost but for what is kept, and the disk is there anew. */
  async powerCut(how: PowerCut = {}): Promise<PowerCutResult> {
    const { number } = this.#device;
    return this.#device.loopPowerCut(how, () => this.daemon.endSessions(number, 'the power was cut'));
  }

  /** Notes a name in the log of writes. */
  async mark(name: string): Promise<void> {
    return this.#device.loopMark(name);
  }

  /** The log so far, a line an entry. */
  entries(): string[] {
    return listed(this.#log())
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '');
  }

  /** Writes the log so far onto a file of zeroes. */
  async replay({ onto, toMark, toEntry, eachFlush }: ReplayOptions): Promise<Replayed> {
    await newFile(onto, this.size);
    return replay({
      log: this.#log(),
      onto,
      toMark: toMark ?? null,
      toEntry: toEntry ?? null,
      check: eachFlush ?? null,
      inPlace: false,
    });
  }

  /** Ends sessions, lets go of the file, and removes what was made. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.daemon.drain(CLOSE_LIMIT_MS);
      await removeDirectory(this.directory);
    })();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #device(): LoopDevice {
    if (this.#closed !== undefined) throw new LoopError('ENXIO', 'This disk is closed.');
    return this.bound;
  }

  #log(): string {
    if (this.log === undefined)
      throw new LoopError('ENXIO', 'This disk has no log: start it with { log: true }.');
    return this.log;
  }
}

async function newFile(path: string, size: number): Promise<string> {
  const file = await open(path, 'w', 0o600);
  await file.truncate(size);
  await file.close();
  return path;
}
