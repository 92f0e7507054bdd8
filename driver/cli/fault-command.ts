/** nbdloop fault and nbdloop limit. */
import { Argument, type Command } from 'commander';
import type { ControlClient } from '../control/client.js';
import type { FaultRule, FaultsAnswer, LimitsChange } from '../control/messages.js';
import { connectDaemon, deviceNumber } from './device-name.js';
import { CliError } from './fail.js';
import { count, faultOf, operationsOf, rangeOf, rulesOfFile } from './fault-words.js';
import { faultsText, limitsText } from './faults-text.js';
import { LIMITS, type LimitName, limitValue } from './limit-options.js';
import { print } from './print.js';

const ACTIONS = ['add', 'list', 'remove', 'clear', 'release', 'set'] as const;
type FaultAction = (typeof ACTIONS)[number];

interface FaultOptions {
  readonly control?: string;
  readonly json?: true;
  readonly id?: string;
  readonly op?: string;
  readonly range?: readonly string[];
  readonly fua?: true;
  readonly after?: string;
  readonly every?: string;
  readonly count?: string;
  readonly probability?: string;
  readonly seed?: string;
}

const HELP = `
Faults to add:
  errno NAME            the request fails; also NAME alone (default EIO)
  delay TIME            it waits: 200us, 10ms, 2s, uniform:MIN:MAX, normal:MEAN:DEVIATION, pareto:MIN:SHAPE
  torn [SECTORS]        only the first sectors of a write are written; it is answered as if all were
  lost                  a write (or flush, trim, zero) is answered, and not done
  misdirected [OFFSET]  a write (or read) goes to another place
  flipped [BITS]        bits of what is read (or written) are flipped
  hang                  the request waits until it is released

Each rule looks at the requests of its operations and ranges, counts them, and hits those that pass --after, --every,
--probability and --count, in this order. The same seed and the same requests give the same faults.
set FILE puts the rules of a file (JSON, as list --json prints them) in place of all that there are.
`;

/** `define`: makes a command that talks to the daemon. */
export function addFault(define: (name: string, description: string) => Command): void {
  define('fault', 'have requests to a device fail, wait, be torn, lost or corrupted, for tests')
    .argument('<device>', 'loopN or /dev/nbdN')
    .addArgument(new Argument('<action>', 'what to do').choices(ACTIONS))
    .argument('[words...]', 'the fault to add, rules to remove or to release, or the file to set')
    .option('--id <name>', 'name of the new rule')
    .option('--op <list>', 'operations: read, write, flush, trim, zero')
    .option('--range <offset:length...>', 'only requests that touch these bytes')
    .option('--fua', 'only writes that must be durable when they are answered')
    .option('--after <n>', 'not the first n requests')
    .option('--every <n>', 'each n-th request')
    .option('--count <n>', 'n times at most')
    .option('--probability <p>', 'by chance, 0 to 1')
    .option('--seed <n>', 'what chance follows from; drawn unless given')
    .option('--json', 'print the rules as JSON')
    .addHelpText('after', HELP)
    .action(async (device: string, action: FaultAction, words: string[], options: FaultOptions) => {
      const daemon = connectDaemon(options.control);
      const answer = await act(daemon, {
        number: await deviceNumber(device, daemon),
        action,
        words,
        options,
      });
      if (options.json === true) print(`${JSON.stringify(answer, null, 2)}\n`);
      else if (action === 'list' || action === 'add') print(faultsText(answer.rules));
    });
}

interface Asked {
  readonly number: number;
  readonly action: FaultAction;
  readonly words: readonly string[];
  readonly options: FaultOptions;
}

async function act(daemon: ControlClient, { number, action, words, options }: Asked): Promise<FaultsAnswer> {
  const [first] = words;
  switch (action) {
    case 'list':
      return daemon.faults(number);
    case 'add':
      return daemon.addFaults(number, [ruleOf(words, options)]);
    case 'set':
      if (first === undefined) throw new CliError('EINVAL', 'fault set: no file is named');
      return daemon.setFaults(number, rulesOfFile(first).map(withoutCounts));
    case 'clear':
      return daemon.setFaults(number, []);
    case 'remove': {
      if (first === undefined) throw new CliError('EINVAL', 'fault remove: no rule is named');
      let answer = await daemon.removeFault(number, first);
      for (const rule of words.slice(1)) answer = await daemon.removeFault(number, rule);
      return answer;
    }
    case 'release': {
      let answer = await daemon.releaseFaults(number, first === undefined ? {} : { rule: first });
      for (const rule of words.slice(1)) answer = await daemon.releaseFaults(number, { rule });
      return answer;
    }
  }
}

function ruleOf(words: readonly string[], options: FaultOptions): FaultRule {
  if (words.length === 0) throw new CliError('EINVAL', 'fault add: no fault is named');
  const { id, op, range, fua, after, every, count: times, probability, seed } = options;
  const number = (name: string, text: string | undefined): number | undefined =>
    text === undefined ? undefined : count(`a number for --${name}`, text);
  const all = {
    ...faultOf(words),
    id,
    operations: op === undefined ? undefined : operationsOf(op),
    ranges: range?.map(rangeOf),
    fua,
    after: number('after', after),
    every: number('every', every),
    count: number('count', times),
    probability: probability === undefined ? undefined : chance(probability),
    seed: number('seed', seed),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as FaultRule;
}

function chance(text: string): number {
  const value = Number(text);
  if (text !== '' && value >= 0 && value <= 1) return value;
  throw new CliError('EINVAL', `'${text}' is not a probability: a number from 0 to 1`);
}

/** What a listing tells of a rule beyond what makes it. */
function withoutCounts(rule: FaultRule): FaultRule {
  const { seen: _seen, hits: _hits, held: _held, ...rest } = rule as FaultRule & Record<string, unknown>;
  return rest as FaultRule;
}

/** `define`: makes a command that talks to the daemon. */
export function addLimit(define: (name: string, description: string) => Command): void {
  const command = define('limit', 'show how much a device may be asked for, or change it').argument(
    '<device>',
    'loopN or /dev/nbdN',
  );
  const help: Readonly<Record<LimitName, string>> = {
    iops: 'requests a second; none: no limit',
    'iops-read': 'the same for reads',
    'iops-write': 'the same for writes, trims and zeroing',
    bytes: 'bytes a second; none: no limit',
    'bytes-read': 'the same for reads',
    'bytes-write': 'the same for writes',
    burst: 'seconds: what was not used for so long may be used at once',
    'burst-read': "the same for reads' own limits",
    'burst-write': "the same for writes' own limits",
  };
  for (const name of Object.keys(LIMITS) as LimitName[]) {
    command.option(`--limit-${name} <number>`, help[name]);
  }
  command
    .option('--clear', 'no limit at all')
    .option('--json', 'print the limits as JSON')
    .action(async (device: string, options: Record<string, string | true | undefined>) => {
      const daemon = connectDaemon(typeof options.control === 'string' ? options.control : undefined);
      const number = await deviceNumber(device, daemon);
      const change = changeOf(options);
      const limits =
        Object.keys(change).length === 0
          ? await daemon.limits(number)
          : await daemon.setLimits(number, change);
      print(options.json === true ? `${JSON.stringify(limits, null, 2)}\n` : limitsText(limits));
    });
}

function changeOf(options: Record<string, string | true | undefined>): LimitsChange {
  const change: Record<string, number | null> = {};
  for (const [name, field] of Object.entries(LIMITS)) {
    if (options.clear === true) change[field] = null;
    const text = options[`limit${field[0]?.toUpperCase()}${field.slice(1)}`];
    if (typeof text === 'string') change[field] = limitValue(name as LimitName, text);
  }
  return change;
}
