/**
 * getopt_long(3): combined short options (`-fP`), values attached or apart (`-o512`, `-o 512`, `--offset=512`),
 * optional values attached only (`--direct-io=off`), unambiguous abbreviations of long options, options after
 * operands, `--`. commander does not do abbreviations and takes optional values from the next word, so the
 * losetup look-alike parses with this.
 */

/** One option. Its documentation lives beside it: `--help`, man page and completions are made from it. */
export interface OptionSpec {
  readonly long: string;
  readonly short?: string;
  readonly argument?: ArgumentSpec;
  readonly help: string;
  /** Has no abbreviations, and takes none from others. */
  readonly whole?: true;
  /** Of a flag: what the words after it name. */
  readonly words?: Completion;
}

export interface ArgumentSpec {
  readonly name: string;
  /** Taken only when it is attached: `--option=value`, `-ovalue`. */
  readonly optional?: boolean;
  readonly completes?: Completion;
}

/** What a shell offers for an argument. */
export type Completion = 'file' | 'directory' | 'device' | 'free-device' | 'column' | readonly string[];

export interface GivenOption<S extends OptionSpec = OptionSpec> {
  readonly spec: S;
  /** Undefined for a flag, and for an optional value that is not there. */
  readonly value: string | undefined;
}

export interface Parsed<S extends OptionSpec = OptionSpec> {
  readonly options: readonly GivenOption<S>[];
  readonly operands: readonly string[];
}

/** A command line that can't be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * Throws UsageError at the first option that is unknown, ambiguous, or lacks (or has) a value. What follows one of
 * the `final` options is not looked at, as a program that acts on each option in turn never sees it.
 */
export function getopt<S extends OptionSpec>(
  words: readonly string[],
  specs: readonly S[],
  final: readonly S['long'][] = [],
): Parsed<S> {
  const options: GivenOption<S>[] = [];
  const operands: string[] = [];
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      operands.push(...rest);
      break;
    }
    if (word.startsWith('--')) options.push(longOption(word, rest, specs));
    else if (word.startsWith('-') && word !== '-') options.push(...shortOptions(word, rest, specs));
    else operands.push(word);
    if (final.includes(options.at(-1)?.spec.long ?? '')) break;
  }
  return { options, operands };
}

function longOption<S extends OptionSpec>(word: string, rest: string[], specs: readonly S[]): GivenOption<S> {
  const equals = word.indexOf('=');
  const given = equals < 0 ? word.slice(2) : word.slice(2, equals);
  const attached = equals < 0 ? undefined : word.slice(equals + 1);
  const spec = byLongName(given, specs);
  if (spec.argument === undefined) {
    if (attached !== undefined) throw new UsageError(`option '--${spec.long}' doesn't allow an argument`);
    return { spec, value: undefined };
  }
  if (attached !== undefined || spec.argument.optional === true) return { spec, value: attached };
  const value = rest.shift();
  if (value === undefined) throw new UsageError(`option '--${spec.long}' requires an argument`);
  return { spec, value };
}

function byLongName<S extends OptionSpec>(given: string, specs: readonly S[]): S {
  const exact = specs.find((spec) => spec.long === given);
  const matching = specs.filter((spec) => spec.whole !== true && spec.long.startsWith(given));
  const [first] = matching;
  if (exact !== undefined) return exact;
  if (first === undefined) throw new UsageError(`unrecognized option '--${given}'`);
  if (matching.length === 1) return first;
  const names = matching.map((spec) => `'--${spec.long}'`).join(' ');
  throw new UsageError(`option '--${given}' is ambiguous; possibilities: ${names}`);
}

function shortOptions<S extends OptionSpec>(
  word: string,
  rest: string[],
  specs: readonly S[],
): GivenOption<S>[] {
  const given: GivenOption<S>[] = [];
  for (let at = 1; at < word.length; at++) {
    const letter = word.charAt(at);
    const spec = specs.find((candidate) => candidate.short === letter);
    if (spec === undefined) throw new UsageError(`invalid option -- '${letter}'`);
    if (spec.argument === undefined) {
      given.push({ spec, value: undefined });
      continue;
    }
    const attached = at + 1 < word.length ? word.slice(at + 1) : undefined;
    const value = attached ?? (spec.argument.optional === true ? undefined : rest.shift());
    if (value === undefined && spec.argument.optional !== true) {
      throw new UsageError(`option requires an argument -- '${letter}'`);
    }
    given.push({ spec, value });
    break;
  }
  return given;
}
