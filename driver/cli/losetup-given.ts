/** The options of one command line of nbdlosetup, and which of them exclude each other. */

import { CliError } from './fail.js';
import type { GivenOption } from './getopt.js';
import type { LOSETUP_OPTIONS, LosetupOptionName } from './losetup-options.js';
import { parseSize, SizeError } from './size.js';

/** Options of which at most one may be given, as losetup has them. */
const EXCLUSIVE: readonly (readonly LosetupOptionName[])[] = [
  ['detach-all', 'all', 'set-capacity', 'detach', 'find', 'associated', 'remove'],
  ['detach-all', 'set-capacity', 'detach', 'find', 'list', 'remove'],
  ['detach-all', 'set-capacity', 'detach', 'find', 'output', 'remove'],
  ['json', 'raw'],
];

export type Option = (typeof LOSETUP_OPTIONS)[number];

/** The options of one command line; of a repeated option the last counts. */
export class Given {
  readonly #last = new Map<string, string | undefined>();
  /** Options that losetup knows too. */
  readonly losetupCount: number;

  constructor(options: readonly GivenOption<Option>[]) {
    for (const { spec, value } of options) this.#last.set(spec.long, value);
    this.losetupCount = options.filter(({ spec }) => spec.group !== 'nbdloop').length;
  }

  has(name: LosetupOptionName): boolean {
    return this.#last.has(name);
  }

  value(name: LosetupOptionName): string | undefined {
    return this.#last.get(name);
  }

  size(name: LosetupOptionName, what: string): bigint | undefined {
    const text = this.value(name);
    if (text === undefined) return undefined;
    try {
      return parseSize(text);
    } catch (error) {
      if (error instanceof SizeError)
        throw new CliError(error.errno, `failed to parse ${what}: ${error.message}`);
      throw error;
    }
  }
}

/** Names the first option that does not go with one before it, and that one. */
export function refuseExclusive(options: readonly GivenOption<Option>[]): void {
  const taken = new Map<(typeof EXCLUSIVE)[number], string>();
  for (const { spec } of options) {
    for (const row of EXCLUSIVE.filter((names) => names.includes(spec.long))) {
      const before = taken.get(row) ?? spec.long;
      if (before !== spec.long) {
        throw new CliError('EINVAL', `options --${before} and --${spec.long} cannot be combined`);
      }
      taken.set(row, before);
    }
  }
}
