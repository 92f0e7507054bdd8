/** Clients of the floating address, and what is to be said of what they saw. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describeFailure, type RunningProcess, start } from '../../helpers/process.js';
import { until } from '../../helpers/until.js';
import { checkRegisters, type Fault } from '../history/registers.js';
import { FIRST_PORT, FLOATING } from '../lab/configuration.js';
import type { Lab } from '../lab/lab.js';
import { SLOTS, WRITERS } from './clients.js';
import { type Entry, now, operationsOf, readJournal } from './journal.js';

/** What clients saw from a start to a stop. */
export interface Testimony {
  readonly faults: readonly Fault[];
  /** Errors that were answered, as sentences. Not those of a device that says it is going down. */
  readonly refusals: readonly string[];
  /** Writes that were acknowledged, and answers to reads. */
  readonly acknowledged: number;
  readonly reads: number;
  /** The longest time without any answer, milliseconds, and when it began. */
  readonly gap: { readonly ms: number; readonly at: number };
}

const PROGRAM = resolve('dist/test/cluster/client/main.js');
/** A hang limit: what was asked for is answered by then. */
const STOP_MS = 90_000;

export class Witness implements AsyncDisposable {
  static #count = 0;

  private constructor(
    readonly journal: string,
    readonly process: RunningProcess,
  ) {}

  /** On records of its own, which nobody has written yet; returns when the first was acknowledged. */
  static async start(lab: Lab, seed: number, device = 0): Promise<Witness> {
    const index = Witness.#count++;
    const journal = join(lab.directory.path, `journal.${index}`);
    const firstSlot = index * SLOTS * WRITERS;
    const words = [FLOATING, FIRST_PORT + device, lab.devices[device], journal, seed, firstSlot].map(String);
    const running = start('nsenter', lab.network.inside(process.execPath, [PROGRAM, ...words]));
    const witness = new Witness(journal, running);
    await until('a record is acknowledged', async () => {
      if (running.isOver) throw new Error(running.stderr);
      return witness.entries().some(({ what }) => what === 'acknowledged') ? true : undefined;
    });
    return witness;
  }

  entries(): Entry[] {
    return existsSync(this.journal) ? readJournal(this.journal) : [];
  }

  /** A write that was begun after now is acknowledged. */
  async goesOn(): Promise<void> {
    const begun = now();
    await until(
      'writes go on',
      async () => {
        const entries = this.entries();
        const fresh = new Set(
          entries.flatMap((entry) => (entry.what === 'write' && entry.at > begun ? [entry.value] : [])),
        );
        const isDone = entries.some((entry) => entry.what === 'acknowledged' && fresh.has(entry.value));
        return isDone ? true : undefined;
      },
      STOP_MS,
    );
  }

  /** Everything is read once more, and then they say what they saw. */
  async stop(): Promise<Testimony> {
    this.process.signal('SIGTERM');
    const ended = await this.process.wait(STOP_MS);
    if (ended.status !== 0) throw new Error(describeFailure('clients', [], ended));
    return testimonyOf(this.entries());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

function testimonyOf(entries: readonly Entry[]): Testimony {
  const refusals = entries.flatMap((entry) =>
    entry.what === 'refused' ? [`errno ${entry.errno} of a ${entry.request}`] : [],
  );
  return {
    faults: checkRegisters(operationsOf(entries)),
    refusals: [...new Set(refusals)],
    acknowledged: entries.filter(({ what }) => what === 'acknowledged').length,
    reads: entries.filter(({ what }) => what === 'read').length,
    gap: longestGap(entries),
  };
}

function longestGap(entries: readonly Entry[]): Testimony['gap'] {
  const answers = entries
    .filter(({ what }) => what === 'acknowledged' || what === 'read')
    .map(({ at }) => at);
  let gap = { ms: 0, at: 0 };
  answers.sort((a, b) => a - b);
  answers.slice(1).forEach((at, index) => {
    const before = answers[index] ?? at;
    if (at - before > gap.ms) gap = { ms: at - before, at: before };
  });
  return gap;
}
