/** What a command line of nbdlosetup asks for: the rules of losetup 2.42, without doing anything. */

import type { ExportWords, FaultRule, LimitsChange } from '../control/messages.js';
import { absolutePath, nameFromBytes, nameToBytes } from '../file-name.js';
import { CliError } from './fail.js';
import { rulesOfFile } from './fault-words.js';
import { type GivenOption, getopt } from './getopt.js';
import { LIMITS, type LimitName, limitValue } from './limit-options.js';
import { chooseColumns, DEFAULT_COLUMNS, LOSETUP_COLUMNS, type LosetupColumn } from './losetup-columns.js';
import { LOSETUP_OPTIONS, type LosetupOptionName } from './losetup-options.js';
import { parseSize, SizeError } from './size.js';

/** How devices are listed; without a table, a line each in losetup's old format. */
export interface TablePlan {
  readonly columns: readonly LosetupColumn[];
  readonly format: 'aligned' | 'raw' | 'json';
  readonly headings: boolean;
}

/** Parameters of a new binding, bytes and flags. */
export interface SetupPlan {
  readonly offset?: bigint;
  readonly sizeLimit?: bigint;
  readonly blockSize?: number;
  readonly readOnly?: true;
  readonly partscan?: true;
  readonly directIo?: boolean;
  readonly exclusive?: true;
  readonly reference?: string;
  readonly exportName?: string;
  readonly description?: string;
  readonly overlay?: { readonly delta: string; readonly force?: true } | { readonly temporary: true };
  readonly limits?: LimitsChange;
  readonly volatileCache?: boolean;
  readonly logWrites?: string;
  readonly faults?: readonly FaultRule[];
}

export type Action =
  | { readonly act: 'help' | 'version' | 'find-free' | 'detach-all' }
  | {
      readonly act: 'list';
      readonly file?: string;
      readonly offset?: bigint;
      readonly table: TablePlan | undefined;
    }
  | { readonly act: 'show-one'; readonly device: string; readonly table: TablePlan | undefined }
  | {
      readonly act: 'create';
      /** Undefined: any free one. */
      readonly device: string | undefined;
      readonly file: string;
      readonly setup: SetupPlan;
      readonly show: boolean;
      readonly noOverlap: boolean;
    }
  | { readonly act: 'detach' | 'remove'; readonly devices: readonly string[] }
  | { readonly act: 'set-capacity'; readonly device: string }
  | {
      /** Of a device that is bound; at least one of them. */
      readonly act: 'adjust';
      readonly device: string;
      readonly words?: ExportWords;
      readonly directIo?: boolean;
      readonly blockSize?: number;
      readonly volatileCache?: boolean;
    };

export type ActionOf<A extends Action['act']> = Extract<Action, { act: A }>;

export interface Plan {
  readonly action: Action;
  readonly control: string | undefined;
  readonly attach: boolean;
  readonly force: boolean;
  readonly verbose: boolean;
}

/** Options of which at most one may be given, as losetup has them. */
const EXCLUSIVE: readonly (readonly LosetupOptionName[])[] = [
  ['detach-all', 'all', 'set-capacity', 'detach', 'find', 'associated', 'remove'],
  ['detach-all', 'set-capacity', 'detach', 'find', 'list', 'remove'],
  ['detach-all', 'set-capacity', 'detach', 'find', 'output', 'remove'],
  ['json', 'raw'],
];

type Option = (typeof LOSETUP_OPTIONS)[number];

/** Throws UsageError or CliError for what losetup refuses. */
export function planLosetup(words: readonly string[]): Plan {
  const { options, operands } = getopt<Option>(words, LOSETUP_OPTIONS, ['help', 'version']);
  refuseExclusive(options);
  const given = new Given(options);
  return {
    action: chooseAction(given, operands),
    control: given.value('control'),
    attach: !given.has('no-attach'),
    force: given.has('force'),
    verbose: given.has('verbose'),
  };
}

/** The options of one command line; of a repeated option the last counts. */
class Given {
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
function refuseExclusive(options: readonly GivenOption<Option>[]): void {
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

function chooseAction(given: Given, operands: readonly string[]): Action {
  const setup = setupOf(given);
  if (given.has('help')) return { act: 'help' };
  if (given.has('version')) return { act: 'version' };
  const action = actionOf(given, operands, setup);
  refuseMisplaced(given, action);
  return action;
}

function actionOf(given: Given, operands: readonly string[], setup: SetupPlan): Action {
  const [first, second] = operands;
  const bare = given.losetupCount + operands.length;
  const onlyFormat = bare === 1 && (given.has('json') || given.has('raw'));
  const wanted = (['list', 'output', 'output-all'] as const).some((name) => given.has(name));
  const listing = wanted || bare === 0 || onlyFormat;
  const table = listing ? tableOf(given) : undefined;

  if (given.has('detach-all')) return { act: 'detach-all' };
  for (const act of ['detach', 'remove', 'set-capacity'] as const) {
    if (!given.has(act)) continue;
    if (first === undefined) throw new CliError('EINVAL', 'no loop device specified');
    return act === 'set-capacity' ? { act, device: first } : { act, devices: operands };
  }
  if (given.has('find')) {
    if (first === undefined) return { act: 'find-free' };
    if (second !== undefined) throw new CliError('EINVAL', 'unexpected arguments');
    return create(given, undefined, first, setup);
  }
  if (given.has('all') || given.has('associated') || (listing && first === undefined)) {
    const file = given.value('associated');
    return { act: 'list', ...(file === undefined ? {} : { file }), ...offsetOf(setup), table };
  }
  if (first === undefined) throw new CliError('EINVAL', 'no loop device specified');
  if (second !== undefined) return create(given, first, second, setup);
  const { blockSize, directIo, volatileCache } = setup;
  const words = wordsOf(given);
  if (
    blockSize === undefined &&
    directIo === undefined &&
    volatileCache === undefined &&
    words === undefined
  ) {
    return { act: 'show-one', device: first, table };
  }
  return {
    act: 'adjust',
    device: first,
    ...(words === undefined ? {} : { words }),
    ...(blockSize === undefined ? {} : { blockSize }),
    ...(directIo === undefined ? {} : { directIo }),
    ...(volatileCache === undefined ? {} : { volatileCache }),
  };
}

function create(given: Given, device: string | undefined, file: string, setup: SetupPlan): Action {
  return { act: 'create', device, file, setup, show: given.has('show'), noOverlap: given.has('nooverlap') };
}

function setupOf(given: Given): SetupPlan {
  const offset = given.size('offset', 'offset');
  const sizeLimit = given.size('sizelimit', 'size');
  const blockSize = given.size('sector-size', 'logical block size');
  const reference = given.value('loop-ref');
  return {
    ...(offset === undefined ? {} : { offset }),
    ...(sizeLimit === undefined ? {} : { sizeLimit }),
    ...(blockSize === undefined ? {} : { blockSize: Number(blockSize) }),
    ...(reference === undefined ? {} : { reference: cutReference(reference) }),
    ...wordsOf(given),
    ...(given.has('read-only') ? { readOnly: true } : {}),
    ...(given.has('partscan') ? { partscan: true } : {}),
    ...(given.has('exclusive') ? { exclusive: true } : {}),
    ...overlayOf(given),
    ...limitsOf(given),
    ...faultsOf(given),
    ...(given.has('volatile-cache') ? { volatileCache: onOrOff(given.value('volatile-cache')) } : {}),
    ...logOf(given),
    ...(given.has('direct-io') ? { directIo: onOrOff(given.value('direct-io')) } : {}),
  };
}

/** Undefined where neither is given. */
function wordsOf(given: Given): ExportWords | undefined {
  const exportName = given.value('name');
  const description = given.value('description');
  if (exportName === undefined && description === undefined) return undefined;
  return {
    ...(exportName === undefined ? {} : { exportName }),
    ...(description === undefined ? {} : { description }),
  };
}

/** Throws EINVAL where both kinds are asked for. */
function overlayOf(given: Given): Pick<SetupPlan, 'overlay'> {
  const delta = given.value('overlay');
  const isTemporary = given.has('temporary');
  if (delta === undefined) return isTemporary ? { overlay: { temporary: true } } : {};
  if (isTemporary) throw new CliError('EINVAL', 'options --overlay and --temporary cannot be combined');
  if (delta === '') throw new CliError('EINVAL', 'the delta of --overlay has no name');
  return { overlay: { delta: absolutePath(delta), ...(given.has('force') ? { force: true } : {}) } };
}

const LIMIT_NAMES = Object.keys(LIMITS) as LimitName[];

function limitsOf(given: Given): { limits?: LimitsChange } {
  const limits: Record<string, number | null> = {};
  for (const name of LIMIT_NAMES) {
    const text = given.value(`limit-${name}`);
    if (text !== undefined) limits[LIMITS[name]] = limitValue(name, text);
  }
  return Object.keys(limits).length === 0 ? {} : { limits };
}

function logOf(given: Given): { logWrites?: string } {
  const file = given.value('log-writes');
  if (file === '') throw new CliError('EINVAL', 'the log of --log-writes has no name');
  return file === undefined ? {} : { logWrites: absolutePath(file) };
}

function faultsOf(given: Given): { faults?: readonly FaultRule[] } {
  const file = given.value('faults');
  return file === undefined ? {} : { faults: rulesOfFile(file) };
}

/** What fits, as losetup takes it: 63 bytes. */
const cutReference = (name: string): string => nameFromBytes(nameToBytes(name).subarray(0, 63));

function onOrOff(value: string | undefined): boolean {
  if (value === undefined || value === 'on') return true;
  if (value === 'off') return false;
  throw new CliError('EINVAL', `argument error: '${value}'`);
}

const offsetOf = ({ offset }: SetupPlan): { offset?: bigint } => (offset === undefined ? {} : { offset });

function tableOf(given: Given): TablePlan {
  const present = given.has('output-all') ? LOSETUP_COLUMNS : DEFAULT_COLUMNS;
  const list = given.value('output');
  return {
    columns: list === undefined ? present : chooseColumns(list, present),
    format: given.has('json') ? 'json' : given.has('raw') ? 'raw' : 'aligned',
    headings: !given.has('noheadings'),
  };
}

/** Options that would be silently without effect are refused. */
function refuseMisplaced(given: Given, action: Action): void {
  if (action.act === 'create') return;
  const setupOnly = ['sizelimit', 'partscan', 'read-only', 'show'] as const;
  const strayDirectIo = given.has('direct-io') && given.value('direct-io') !== 'off';
  if ((strayDirectIo && action.act !== 'adjust') || setupOnly.some((name) => given.has(name))) {
    throw new CliError(
      'EINVAL',
      `the options --{${setupOnly.join(',')}} are allowed during loop device setup only`,
    );
  }
  for (const name of [
    'overlay' as const,
    'temporary' as const,
    ...LIMIT_NAMES.map((limit) => `limit-${limit}` as const),
    'faults' as const,
    'log-writes' as const,
  ]) {
    if (given.has(name)) {
      throw new CliError('EINVAL', `the option --${name} is allowed during loop device setup only`);
    }
  }
  if (given.has('loop-ref')) {
    throw new CliError('EINVAL', 'the option --loop-ref is allowed during loop device setup only');
  }
  for (const name of ['name', 'description'] as const) {
    if (given.has(name) && action.act !== 'adjust') {
      throw new CliError('EINVAL', `the option --${name} goes with one device, or the file to bind`);
    }
  }
  if (given.has('volatile-cache') && action.act !== 'adjust') {
    throw new CliError('EINVAL', 'the option --volatile-cache goes with one device, or the file to bind');
  }
  if (given.has('offset') && !(action.act === 'list' && action.file !== undefined)) {
    throw new CliError('EINVAL', 'the option --offset is not allowed in this context');
  }
}
