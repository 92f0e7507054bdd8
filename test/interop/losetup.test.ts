import { truncateSync, unlinkSync } from 'node:fs';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { KernelLoop, losetup, skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { tool } from '../helpers/tools.js';

t.setTimeout(240_000);

const skip = skipWithoutKernelLoop();
const MIB = 1 << 20;
/** All columns but those that name the device itself. */
const COLUMNS = 'BACK-FILE,BACK-INO,BACK-MAJ:MIN,OFFSET,AUTOCLEAR,RO,SIZELIMIT,DIO,LOG-SEC,PARTSCAN';

interface Pair extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly kernel: KernelLoop;
}

/** The same file bound in both with the same options: loop0 in ours. */
async function bindBoth(...args: string[]): Promise<Pair> {
  const daemon = await Daemon.start({ process: { env: { LC_ALL: 'C.UTF-8' } } });
  try {
    const kernel = await KernelLoop.attach(...args);
    await daemon.cliOk('nbdlosetup', '--no-attach', '-f', '--show', ...args);
    return {
      daemon,
      kernel,
      [Symbol.asyncDispose]: async () => {
        await kernel[Symbol.asyncDispose]();
        await daemon[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}

t.test('a listing is losetup’s, byte for byte, in every format', { skip }, async (t) => {
  using dir = new TempDir();
  const files: [string, string[]][] = [
    ['plain.img', []],
    ['sp ace "quoted" back\\slash\ttab.img', ['-o', '4096', '--sizelimit', '1k', '-r']],
    ['uml\u00e4ut-\u65e5\u672c.img', ['-P', '-b', '4096']],
    ['big offset.img', ['-o', '1M', '--sizelimit', '2MB']],
  ];
  for (const [name, args] of files) {
    const file = makeSparseFile(dir.file(name), 4 * MIB);
    await using pair = await bindBoth(...args, file);
    const formats = [[], ['-n'], ['--raw'], ['--raw', '-n'], ['-J']];
    for (const format of formats) {
      const words = ['-l', ...format, '-O', COLUMNS];
      const theirs = await losetup(...words, pair.kernel.path);
      const ours = await pair.daemon.cli('nbdlosetup', ...words, 'loop0');
      t.equal(ours.stdout, theirs.stdout, `${name} ${format.join(' ')}`);
      t.equal(ours.status, theirs.status);
    }
    const [theirs, ours] = [await losetup('-j', file), await pair.daemon.cli('nbdlosetup', '-j', file)];
    t.equal(ours.stdout, theirs.stdout.replace(pair.kernel.path, 'loop0'), `${name}: the old format`);
    t.equal((await pair.daemon.cli('nbdlosetup', '-a')).stdout, ours.stdout);
  }
});

t.test(
  'a table with several devices, and with the name column, is aligned as losetup’s',
  { skip },
  async (t) => {
    using dir = new TempDir();
    const file = makeSparseFile(dir.file('a.img'), 4 * MIB);
    await using daemon = await Daemon.start();
    await using first = await KernelLoop.attach(file);
    await using second = await KernelLoop.attach('-r', '-o', '1048576', file);
    await daemon.cliOk('nbdlosetup', '--no-attach', '-f', file);
    await daemon.cliOk('nbdlosetup', '--no-attach', '-f', '-r', '-o', '1048576', file);
    // The kernel's names are longer and its order is its own: ours are put in their place, line by line.
    const theirs = await losetup('-l', '-j', file, '-O', 'OFFSET,RO,SIZELIMIT,BACK-FILE');
    const ours = await daemon.cli('nbdlosetup', '-l', '-j', file, '-O', 'OFFSET,RO,SIZELIMIT,BACK-FILE');
    t.strictSame(ours.stdout.split('\n').sort(), theirs.stdout.split('\n').sort());
    const width = Math.max(first.path.length, second.path.length);
    const named = await daemon.cli('nbdlosetup', '-l', '-j', file, '-o', '0', '-O', 'NAME,RO');
    const theirsNamed = await losetup('-l', '-j', file, '-o', '0', '-O', 'NAME,RO');
    t.equal(
      named.stdout
        .replace('loop0', first.path.padEnd(width))
        .replace('NAME ', 'NAME'.padEnd(first.path.length)),
      theirsNamed.stdout.replaceAll(first.path, first.path.padEnd(width)),
    );
  },
);

t.test('an unbound device, and none at all, look like losetup’s', { skip }, async (t) => {
  await using daemon = await Daemon.start();
  await daemon.client.add(0);
  for (const format of [[], ['--raw'], ['-J'], ['-n']]) {
    const none = await daemon.cli('nbdlosetup', '-l', ...format, '-j', '/nonexistent');
    const theirs = await losetup('-l', ...format, '-j', '/nonexistent');
    t.equal(none.stdout, theirs.stdout, `nothing to list ${format.join(' ')}`);
    t.equal(none.status, theirs.status);
  }
  // A device that only we use: the kernel's next free number may be taken by somebody else at any time.
  const unbound = await daemon.cli('nbdlosetup', '-l', '-J', '-O', COLUMNS, 'loop0');
  t.match(JSON.parse(unbound.stdout), {
    loopdevices: [
      { 'back-file': null, 'back-ino': null, offset: null, sizelimit: null, ro: false, 'log-sec': 512 },
    ],
  });
  t.equal((await daemon.cli('nbdlosetup', 'loop0')).status, 1, 'not bound');
});

t.test('command lines are understood, or refused, as losetup does it', { skip }, async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start();
  // None of these may change anything in the kernel: each is refused, or only lists.
  const lines = [
    ['--foo'],
    ['-x'],
    ['-o'],
    ['--offset'],
    ['--json=1'],
    ['--detach-al=1'],
    ['--out'],
    ['-f', '-a'],
    ['-l', '-c', '/dev/loop0'],
    ['-J', '--raw'],
    ['-o', '10'],
    ['-n'],
    ['-v'],
    ['--output-all'],
    ['-O', 'FOO'],
    ['-a', '-o', '1'],
    ['--sizelimit', '10', '-a'],
    ['-P', '-a'],
    ['-r', '/dev/loop0'],
    ['-f', file, 'more'],
    ['-o', 'abc', '-f', file],
    ['-o', '16E', '-f', file],
    ['--sizelimit', '1.5', '-f', file],
    ['--direct-io=foo', '/dev/loop0'],
    ['-j', file],
    ['-j', dir.file('nothing')],
    ['-l', '-j', file],
    ['-j', file, '--direct-io'],
    ['-j', file, '--direct-io=off'],
    ['-d', '/dev/loop0', '--direct-io'],
    ['-f', '--direct-io'],
    ['-f', ''],
    ['-o', 'abc', '-h'],
    ['-j', file, '-o', '4096', '-o', '0'],
    ['-j', dir.file('nothing'), '-j', file],
  ];
  for (const words of lines) {
    const theirs = await losetup(...words);
    const ours = await daemon.cli('nbdlosetup', ...words);
    const title = `losetup ${words.join(' ')}`;
    t.equal(ours.status, theirs.status, `${title}: exit status`);
    const said = ours.stderr.replaceAll('nbdlosetup', 'losetup').replace(/ \(E[A-Z]+\)$/m, '');
    t.equal(said, theirs.stderr.replaceAll(tool('losetup'), 'losetup'), `${title}: message`);
    t.equal(ours.stdout, theirs.stdout, `${title}: output`);
  }
});

t.test('sizes are those that losetup reads', { skip }, async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start();
  for (const size of [
    '1K',
    '1KiB',
    '1KB',
    '0x400',
    '02000',
    '1.5K',
    '1.K',
    '1.',
    '.5K',
    '1kib',
    '+512',
    '9E',
    '1Z',
    '',
    '5B',
    '1Ki',
    '-1',
    '1 K',
  ]) {
    const listed = ['-l', '-n', '-O', 'SIZELIMIT', '-j', file];
    const theirs = await losetup('-f', '--show', '--sizelimit', size, file);
    const limit = (await losetup(...listed)).stdout;
    if (theirs.status === 0) await losetup('-d', theirs.stdout.trim());
    const ours = await daemon.cli('nbdlosetup', '--no-attach', '-f', '--show', '--sizelimit', size, file);
    t.equal(ours.status, theirs.status, `'${size}': exit status`, { ours });
    t.equal((await daemon.cli('nbdlosetup', ...listed)).stdout, limit, `'${size}'`);
    await daemon.cli('nbdlosetup', '-D');
  }
});

t.test('a file that grew, was removed, or overlaps is treated as losetup treats it', { skip }, async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), 2 * MIB);
  await using pair = await bindBoth('-o', '4096', '--sizelimit', '64K', file);
  const { daemon, kernel } = pair;
  const overlaps = [
    ['-o', '4096', '--sizelimit', '64K'],
    ['-o', '4096', '--sizelimit', '64K', '-r'],
    ['-o', '8192'],
    [],
  ];
  for (const range of overlaps) {
    const theirs = await losetup('-L', '-f', '--show', ...range, file);
    const ours = await daemon.cli('nbdlosetup', '--no-attach', '-L', '-f', '--show', ...range, file);
    t.equal(ours.status, theirs.status, `--nooverlap ${range.join(' ')}`, { ours, theirs });
    if (theirs.status === 0) t.equal(theirs.stdout.trim(), kernel.path, 'it is used again');
    if (ours.status === 0) t.match(ours.stdout, /\/loop0\?/, 'it is used again');
  }
  truncateSync(file, 3 * MIB);
  t.equal((await losetup('-c', kernel.path)).status, 0);
  t.equal((await daemon.cli('nbdlosetup', '-c', 'loop0')).status, 0);
  unlinkSync(file);
  const words = ['-l', '-O', COLUMNS];
  const [theirs, ours] = [
    await losetup(...words, kernel.path),
    await daemon.cli('nbdlosetup', ...words, 'loop0'),
  ];
  t.equal(ours.stdout.includes(file), theirs.stdout.includes(file), 'the name of a removed file');
});
