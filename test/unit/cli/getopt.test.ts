import t from 'tap';
import { getopt, type OptionSpec } from '../../../driver/cli/getopt.js';

const SPECS: OptionSpec[] = [
  { long: 'find', short: 'f', help: '' },
  { long: 'partscan', short: 'P', help: '' },
  { long: 'offset', short: 'o', argument: { name: 'bytes' }, help: '' },
  { long: 'output', short: 'O', argument: { name: 'list' }, help: '' },
  { long: 'output-all', help: '' },
  { long: 'direct-io', short: 'I', argument: { name: 'on|off', optional: true }, help: '' },
];

const parse = (...words: string[]) => {
  const { options, operands } = getopt(words, SPECS);
  return [
    ...options.map(({ spec, value }) => (value === undefined ? spec.long : `${spec.long}=${value}`)),
    operands,
  ];
};

t.test('options are understood as getopt_long does', async (t) => {
  t.strictSame(parse('-fP', 'file'), ['find', 'partscan', ['file']]);
  t.strictSame(parse('file', '-f'), ['find', ['file']], 'after operands too');
  t.strictSame(parse('-o512', '-o', '1k', '--offset=3', '--offset', '4'), [
    'offset=512',
    'offset=1k',
    'offset=3',
    'offset=4',
    [],
  ]);
  t.strictSame(parse('-fo', '5', 'x'), ['find', 'offset=5', ['x']]);
  t.strictSame(parse('-oP'), ['offset=P', []], 'the rest of the word is the value');
  t.strictSame(parse('-o', '-f'), ['offset=-f', []], 'a value may look like an option');
  t.strictSame(
    parse('--direct-io', 'off'),
    ['direct-io', ['off']],
    'an optional value is attached or absent',
  );
  t.strictSame(parse('--direct-io=off', '-Ion', '-I', 'x'), [
    'direct-io=off',
    'direct-io=on',
    'direct-io',
    ['x'],
  ]);
  t.strictSame(parse('--direct=', '--off', '1', '--part'), ['direct-io=', 'offset=1', 'partscan', []]);
  t.strictSame(parse('--output', 'NAME'), ['output=NAME', []], 'an exact name is never ambiguous');
  t.strictSame(parse('-f', '--', '-P', '--'), ['find', ['-P', '--']]);
  t.strictSame(parse('-', 'a'), [['-', 'a']], 'a lone dash is an operand');
});

t.test('what cannot be understood is said as getopt_long says it', async (t) => {
  const cases: [string[], string][] = [
    [['--bad'], "unrecognized option '--bad'"],
    [['-fx'], "invalid option -- 'x'"],
    [['-o'], "option requires an argument -- 'o'"],
    [['--offset'], "option '--offset' requires an argument"],
    [['--find=1'], "option '--find' doesn't allow an argument"],
    [['--o'], "option '--o' is ambiguous; possibilities: '--offset' '--output' '--output-all'"],
  ];
  for (const [words, message] of cases) t.throws(() => parse(...words), { name: 'UsageError', message });
});
