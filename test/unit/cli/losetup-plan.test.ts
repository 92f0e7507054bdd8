import t from 'tap';
import { planLosetup } from '../../../driver/cli/losetup-plan.js';

const action = (...words: string[]) => planLosetup(words).action;

t.test('the action follows from options and operands as in losetup', async (t) => {
  t.match(action(), { act: 'list', table: { format: 'aligned', headings: true } });
  t.match(
    action('--control', '/c'),
    { act: 'list', table: { format: 'aligned' } },
    'our own options count for nothing',
  );
  t.match(action('-a'), { act: 'list', table: undefined });
  t.match(action('-la'), { act: 'list', table: { format: 'aligned' } });
  t.match(action('-J'), { act: 'list', table: { format: 'json' } });
  t.match(action('--raw', '-nl'), { act: 'list', table: { format: 'raw', headings: false } });
  t.match(action('-j', 'f', '-o', '4k'), { act: 'list', file: 'f', offset: 4096n, table: undefined });
  t.match(action('loop0'), { act: 'show-one', device: 'loop0', table: undefined });
  t.match(action('-l', 'loop0'), { act: 'show-one', device: 'loop0', table: { format: 'aligned' } });
  t.match(action('-f'), { act: 'find-free' });
  t.strictSame(action('-fPr', '--show', 'f'), {
    act: 'create',
    device: undefined,
    file: 'f',
    setup: { readOnly: true, partscan: true },
    show: true,
    noOverlap: false,
  });
  t.match(action('loop3', 'f', '-o1M', '--sizelimit', '2KB', '-b4k', '--direct-io'), {
    act: 'create',
    device: 'loop3',
    setup: { offset: 1_048_576n, sizeLimit: 2000n, blockSize: 4096, directIo: true },
  });
  t.match(action('-Lf', 'x'), { act: 'create', noOverlap: true });
  t.match(action('-d', 'loop1', 'loop2'), { act: 'detach', devices: ['loop1', 'loop2'] });
  t.match(action('-d', '--force', 'loop1'), { act: 'detach', devices: ['loop1'] });
  t.match(action('--remove', 'loop1', 'loop2'), { act: 'remove', devices: ['loop1', 'loop2'] });
  t.match(action('-L', 'loop1', 'x'), { act: 'create', device: 'loop1', noOverlap: true });
  t.match(action('-f', '--loop-ref', 'a', 'x'), { act: 'create', setup: { reference: 'a' } });
  t.match(action('-D'), { act: 'detach-all' });
  t.match(action('-c', 'loop1'), { act: 'set-capacity', device: 'loop1' });
  t.match(action('--direct-io=off', 'loop1'), { act: 'adjust', directIo: false });
  t.match(action('-b', '512', 'loop1'), { act: 'adjust', blockSize: 512, directIo: undefined });
  t.match(action('-b', '4k', '--direct-io', 'loop1'), { act: 'adjust', blockSize: 4096, directIo: true });
  t.match(action('-h', '-f'), { act: 'help' });
  t.match(action('-h', '-Z'), { act: 'help' }, 'what follows is not looked at');
  t.match(action('-V', '-d'), { act: 'version' });
});

t.test('columns are chosen by name, added to the default ones, or all', async (t) => {
  const columns = (...words: string[]) => {
    const chosen = action(...words);
    return chosen.act === 'list' && chosen.table !== undefined
      ? chosen.table.columns.map((column) => column.name)
      : [];
  };
  t.strictSame(columns('-O', 'name,Back-File'), ['NAME', 'BACK-FILE']);
  t.strictSame(columns('-l').length, 8);
  t.strictSame(columns('-l', '-O', '+MAJ:MIN').at(-1), 'MAJ:MIN');
  t.strictSame(columns('--output-all').length, 17, 'it lists by itself');
  t.strictSame(columns('--output-all', '-O', 'RO'), ['RO'], 'a list wins');
  t.strictSame(columns('--output-all', '-O', '+RO').length, 18);
});

t.test('options of nbdloop’s own are kept apart', async (t) => {
  t.match(planLosetup(['-d', 'loop0', '--force', '--no-attach', '-v']), {
    force: true,
    attach: false,
    verbose: true,
  });
  t.match(planLosetup(['-f', 'x']), { force: false, attach: true, verbose: false, control: undefined });
});

t.test('what losetup refuses is refused with its words', async (t) => {
  const setupOnly =
    'the options --{sizelimit,partscan,read-only,show} are allowed during loop device setup only';
  const cases: [string[], string][] = [
    [['-f', '-a'], 'options --find and --all cannot be combined'],
    [['-l', '-d', 'x'], 'options --list and --detach cannot be combined'],
    [['--remove', '-f'], 'options --remove and --find cannot be combined'],
    [['-d'], 'no loop device specified'],
    [['--loop-ref', 'x', '-a'], 'the option --loop-ref is allowed during loop device setup only'],
    [['-J', '--raw'], 'options --json and --raw cannot be combined'],
    [['-o', '10'], 'no loop device specified'],
    [['-J', '-n'], 'no loop device specified'],
    [['-a', '-o', '1'], 'the option --offset is not allowed in this context'],
    [['--sizelimit', '10', '-a'], setupOnly],
    [['--show', 'loop0'], setupOnly],
    [['-r', '-d', 'loop0'], setupOnly],
    [['--direct-io', '-d', 'loop0'], setupOnly],
    [['-f', '--direct-io'], setupOnly],
    [['-o', 'abc', '-h'], "failed to parse offset: 'abc': Invalid argument"],
    [['-f', 'a', 'b'], 'unexpected arguments'],
    [['-O', 'FOO'], 'unknown column: FOO'],
    [['-O', 'NAME,'], 'unknown column: '],
    [['-o', 'abc', '-f', 'x'], "failed to parse offset: 'abc': Invalid argument"],
    [['--sizelimit', '16E', '-f', 'x'], "failed to parse size: '16E': Numerical result out of range"],
    [['--direct-io=foo', 'loop0'], "argument error: 'foo'"],
  ];
  for (const [words, message] of cases) t.throws(() => planLosetup(words), { message }, words.join(' '));
});
