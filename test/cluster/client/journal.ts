/** What clients saw, outside of the cluster: a line for each event. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { Operation } from '../history/registers.js';
import { SECTORS } from './record.js';

/** A write is durable when it is acknowledged: by FUA, or by the FLUSH behind it. */
export type Durability = 'fua' | 'flush';

export type Entry =
  /** First sent, and acknowledged: sent again in between, as often as it took. */
  | {
      readonly what: 'write';
      readonly value: number;
      readonly slot: number;
      readonly at: number;
      readonly durability: Durability;
    }
  | { readonly what: 'acknowledged'; readonly value: number; readonly at: number }
  | {
      readonly what: 'read';
      readonly slot: number;
      readonly values: readonly number[];
      readonly start: number;
      readonly at: number;
    }
  /** An errno answered. */
  | { readonly what: 'refused'; readonly errno: number; readonly request: string; readonly at: number };

/** Milliseconds, in order within a process and near enough between processes of one machine. */
export const now = (): number => performance.timeOrigin + performance.now();

export class Journal implements Disposable {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'a');
  }

  add(entry: Entry): void {
    writeSync(this.#fd, `${JSON.stringify(entry)}\n`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** What is there; the last line may be half written. */
export const readJournal = (path: string): Entry[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Entry);

/** A record is as many registers as it has sectors. */
export function operationsOf(entries: readonly Entry[]): Operation[] {
  const acknowledged = new Map(
    entries.flatMap((entry) => (entry.what === 'acknowledged' ? [[entry.value, entry.at] as const] : [])),
  );
  const flushed = new Set<number>();
  const operations: Operation[] = [];
  const ofSlot = (slot: number, one: (index: number) => Omit<Operation, 'sector'>): void => {
    for (let index = 0; index < SECTORS; index++)
      operations.push({ sector: slot * SECTORS + index, ...one(index) });
  };
  for (const entry of entries) {
    if (entry.what !== 'write') continue;
    const { value, slot, at, durability } = entry;
    if (durability === 'flush') flushed.add(value);
    ofSlot(slot, () => ({ kind: 'write', value, start: at, end: acknowledged.get(value) ?? Infinity }));
  }
  for (const entry of entries) {
    if (entry.what !== 'read') continue;
    const { slot, values, start, at } = entry;
    ofSlot(slot, (index) => ({ kind: 'read', value: values[index] ?? 0, start, end: at }));
  }
  // What was seen before the FLUSH behind it may be gone again: it was promised to nobody yet.
  return operations.filter(
    ({ kind, value, end }) =>
      kind === 'write' || !flushed.has(value) || end >= (acknowledged.get(value) ?? Infinity),
  );
}
