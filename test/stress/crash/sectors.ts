/**
 * What the sectors of a disk may hold after a crash: of each, every value that was sent to it since the one that must be there
 * at least. Requests under way at a time share no sector, so that the order of a sector's values is that of their requests.
 */

export const SECTOR = 512;

/** Of what was never written to, and of what was zeroed. */
export const Value = { BASE: -1, ZERO: 0 } as const;

/** What a crash leaves: `kill` all that was answered, `cut` what was flushed as well. */
export type Crash = 'kill' | 'cut';

interface History {
  /** From the durable one on, in order. */
  values: number[];
  /** Number of the first of them; the numbers of a sector's values begin with 0. */
  first: number;
  /** Numbers of the last that was answered, and of the one that must be there after a cut. */
  answered: number;
  durable: number;
}

/** What a FLUSH that is sent now will have made durable. */
export type Barrier = readonly number[];

export class Sectors {
  readonly #histories: History[];

  constructor(readonly count: number) {
    this.#histories = Array.from({ length: count }, () => ({
      ...{ values: [Value.BASE], first: 0, answered: 0, durable: 0 },
    }));
  }

  sent(sector: number, count: number, value: number): void {
    for (const history of this.#run(sector, count)) history.values.push(value);
  }

  /** Success of what was sent last to these; `isDurable`: with FUA. */
  answered(sector: number, count: number, isDurable: boolean): void {
    for (const history of this.#run(sector, count)) {
      history.answered = history.first + history.values.length - 1;
      if (isDurable) settle(history, history.answered);
    }
  }

  barrier(): Barrier {
    return this.#histories.map(({ answered }) => answered);
  }

  flushed(barrier: Barrier): void {
    for (const [sector, history] of this.#histories.entries()) settle(history, barrier[sector] ?? 0);
  }

  /**
   * After a crash a sector holds this value. False when it may not. What came later than it never happened; whether it is durable
   * now is only known after a cut.
   */
  found(sector: number, value: number, crash: Crash): boolean {
    const [history] = this.#run(sector, 1);
    if (history === undefined) return false;
    const least = (crash === 'cut' ? history.durable : history.answered) - history.first;
    const at = history.values.lastIndexOf(value);
    if (at < least) return false;
    history.values.length = at + 1;
    history.answered = history.first + at;
    if (crash === 'cut') settle(history, history.answered);
    return true;
  }

  /** For a message: what a sector may hold. */
  may(sector: number, crash: Crash): string {
    const [history] = this.#run(sector, 1);
    if (history === undefined) return 'nothing';
    const { values, first, durable, answered } = history;
    return values.slice((crash === 'cut' ? durable : answered) - first).join(', ');
  }

  #run(sector: number, count: number): History[] {
    return this.#histories.slice(sector, sector + count);
  }
}

function settle(history: History, number: number): void {
  if (number <= history.durable) return;
  history.durable = number;
  history.values.splice(0, number - history.first);
  history.first = number;
}

/** The bytes of a sector with a value that was written. */
export const stamp = (value: number, sector: number): Buffer =>
  value === Value.ZERO
    ? Buffer.alloc(SECTOR)
    : Buffer.alloc(SECTOR, `${value === Value.BASE ? 'base' : value} in ${sector};`);

const STAMP = /^(base|\d+) in /;

/** The value that a sector's bytes are; undefined when they are none, whole. */
export function valueIn(bytes: Buffer, sector: number): number | undefined {
  if (bytes[0] === 0) return bytes.equals(stamp(Value.ZERO, sector)) ? Value.ZERO : undefined;
  const text = STAMP.exec(bytes.toString('latin1', 0, 24))?.[1];
  if (text === undefined) return undefined;
  const value = text === 'base' ? Value.BASE : Number(text);
  return bytes.equals(stamp(value, sector)) ? value : undefined;
}
