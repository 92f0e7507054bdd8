/** What a command line of nbdlosetup asks for: the rules of losetup 2.42, without doing anything. */

import type { ExportWords } from '../control/messages.js';
import { CliError } from './fail.js';
import { getopt } from './getopt.js';
import { chooseColumns, DEFAULT_COLUMNS, LOSETUP_COLUMNS, type LosetupColumn } from './losetup-columns.js';
import { Given, type Option, refuseExclusive } from './losetup-given.js';
import { LOSETUP_OPTIONS } from './losetup-options.js';
import { LIMIT_NAMES, type SetupPlan, setupOf, wordsOf } from './losetup-setup.js';

/** How devices are listed; without a table, a line each in losetup's old format. */
export interface TablePlan {
  readonly columns: readonly LosetupColumn[];
  readonly format: 'aligned' | 'raw' | 'json';
  readonly headings: boolean;
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
