/** A run of the tests is the same each time; what draws a seed from the clock is a program on demand (`npm run fuzz`, `kill`, ...). */
const DEFAULT_SEED = 1;

/** The seed that the environment variable names, else always the same. */
export function seedFrom(variable: string): number {
  const given = process.env[variable];
  return given === undefined ? DEFAULT_SEED : Number(given);
}

/** A small random generator with a seed (mulberry32), so that a failing run can be repeated. */
export class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  static fromEnvironment(variable: string): Random {
    return new Random(seedFrom(variable));
  }

  /** 32 random bits. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return this.next() % limit;
  }

  chance(probability: number): boolean {
    return this.next() < probability * 2 ** 32;
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)];
    if (choice === undefined) throw new Error('Nothing to pick from.');
    return choice;
  }

  /** Picks in proportion to weights, which are whole numbers. */
  weighted<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, choice] of choices) {
      if (left < weight) return choice;
      left -= weight;
    }
    throw new Error('Nothing to pick from.');
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at++) bytes[at] = this.next();
    return bytes;
  }
}
