/** Clients of the floating address, and what is to be said of what they saw. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describeFailure, type RunningProcess, start } from '../../helpers/process.js';
import { until } from '../../helpers/until.js';
import { checkRegisters, type Fault } from '../history/registers.js';
import { FIRST_PORT, FLOATING } from '../lab/configuration.js';
import type { Lab } from '../lab/lab.js';
import { SLOTS_EACH } from './clients.js';
import { type Entry, now, operationsOf, readJournal } from './journal.js';

/** What clients saw from a start to a stop. */
export interface Testimony {
  readonly faults: readonly Fault[];
  /** Errors that were answered, as sentences. Not those of a device that says it is going down. */
  readonly refusals: readonly string[];
  /** Writes that were acknowledged, and answers to reads. */
  readonly acknowledged: number;
  readonly reads: number;
  /** The longest time without any answer of one device, milliseconds, and when it began. */
  readonly gap: { readonly ms: number; readonly at: number };
}

const PROGRAM = resolve('dist/test/cluster/client/main.js');
/** A hang limit: what was asked for is answered by then. */
const STOP_MS = 90_000;

export class Witness implements AsyncDisposable {
  static #nextSlot = 0;

  private constructor(
    readonly journal: string,
    readonly firstSlot: number,
    readonly devices: number,
    readonly process: RunningProcess,
    /** The same clients, as far as they read everything only. */
    readonly startReading: () => RunningProcess,
  ) {}

  /** On records of its own, which nobody has written yet, of every device; returns when the first of each was acknowledged. */
  static async start(lab: Lab, seed: number): Promise<Witness> {
    const firstSlot = Witness.#nextSlot;
    Witness.#nextSlot += SLOTS_EACH * lab.devices.length;
    const journal = join(lab.directory.path, `journal.${firstSlot}`);
    const exports = lab.devices.map((name, index) => `${FIRST_PORT + index}/${name}`);
    const words = [FLOATING, journal, String(seed), String(firstSlot), ...exports];
    const begin = (task: 'work' | 'read'): RunningProcess =>
      start('nsenter', lab.network.inside(process.execPath, [PROGRAM, task, ...words]));
    const witness = new Witness(journal, firstSlot, lab.devices.length, begin('work'), () => begin('read'));
    await witness.goesOn(0);
    return witness;
  }

  entries(): Entry[] {
    return existsSync(this.journal) ? readJournal(this.journal) : [];
  }

  /** Of every device a write that was begun after now is acknowledged. */
  async goesOn(begun = now()): Promise<void> {
    await until(
      'writes go on',
      async () => {
        if (this.process.isOver) throw new Error(this.process.stderr);
        const fresh = acknowledged(this.entries()).filter(({ at }) => at > begun);
        const devices = new Set(fresh.map(({ slot }) => this.#deviceOf(slot)));
        return devices.size === this.devices ? true : undefined;
      },
      STOP_MS,
    );
  }

  /** Writes that were sent and not acknowledged. */
  pending(): Write[] {
    const entries = this.entries();
    const done = new Set(acknowledged(entries));
    return writes(entries).filter((write) => !done.has(write));
  }

  /** What these wrote, or would have written, has been written over since, and that was acknowledged. */
  async overwrites(those: readonly Write[]): Promise<void> {
    const isOver = (old: Write, done: readonly Write[]): boolean =>
      done.some(({ slot, value }) => slot === old.slot && value > old.value);
    await until(
      'what was under way is overwritten',
      async () => {
        const done = acknowledged(this.entries());
        return those.every((old) => isOver(old, done)) ? true : undefined;
      },
      STOP_MS,
    );
  }

  /** Everything is read once more, and then they say what they saw. */
  async stop(): Promise<Testimony> {
    this.process.signal('SIGTERM');
    return this.#testimony(this.process);
  }

  /** Nobody writes any more. */
  async kill(): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }

  /** As `stop`, of those that were killed. */
  async readAgain(): Promise<Testimony> {
    await using reading = this.startReading();
    return await this.#testimony(reading);
  }

  async #testimony(last: RunningProcess): Promise<Testimony> {
    const ended = await last.wait(STOP_MS);
    if (ended.status !== 0) throw new Error(describeFailure('clients', [], ended));
    return testimonyOf(this.entries(), (slot) => this.#deviceOf(slot));
  }

  #deviceOf(slot: number): number {
    return Math.floor((slot - this.firstSlot) / SLOTS_EACH);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

type Write = Extract<Entry, { what: 'write' }>;

const writes = (entries: readonly Entry[]): Write[] => entries.filter((entry) => entry.what === 'write');

function acknowledged(entries: readonly Entry[]): Write[] {
  const values = new Set(entries.flatMap((entry) => (entry.what === 'acknowledged' ? [entry.value] : [])));
  return writes(entries).filter(({ value }) => values.has(value));
}

function testimonyOf(entries: readonly Entry[], deviceOf: (slot: number) => number): Testimony {
  const refusals = entries.flatMap((entry) =>
    entry.what === 'refused' ? [`errno ${entry.errno} of a ${entry.request}`] : [],
  );
  return {
    faults: checkRegisters(operationsOf(entries)),
    refusals: [...new Set(refusals)],
    acknowledged: entries.filter(({ what }) => what === 'acknowledged').length,
    reads: entries.filter(({ what }) => what === 'read').length,
    gap: longestGap(entries, deviceOf),
  };
}

function longestGap(entries: readonly Entry[], deviceOf: (slot: number) => number): Testimony['gap'] {
  const slots = new Map(writes(entries).map(({ value, slot }) => [value, slot]));
  const last = new Map<number, number>();
  let gap = { ms: 0, at: 0 };
  for (const entry of entries) {
    if (entry.what !== 'acknowledged' && entry.what !== 'read') continue;
    const device = deviceOf(entry.what === 'read' ? entry.slot : (slots.get(entry.value) ?? 0));
    const before = last.get(device) ?? entry.at;
    if (entry.at - before > gap.ms) gap = { ms: entry.at - before, at: before };
    last.set(device, entry.at);
  }
  return gap;
}
