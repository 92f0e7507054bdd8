import { renameSync, statSync, truncateSync, unlinkSync } from 'node:fs';
import t from 'tap';
import { nameToBytes } from '../../driver/file-name.js';
import { blockDeviceOf } from '../../driver/io/device-number.js';
import { Daemon } from '../helpers/daemon.js';
import { KernelLoop, losetup, skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { tool } from '../helpers/tools.js';
import { ONLY_IN_2_42, SAME_IN_BOTH } from './losetup-lines.js';

t.setTimeout(400_000);

const skip = skipWithoutKernelLoop();
const MIB = 1 << 20;
/** All columns but those that name the device itself. */
const COLUMNS = 'BACK-FILE,BACK-INO,OFFSET,AUTOCLEAR,RO,SIZELIMIT,DIO,LOG-SEC,PARTSCAN';

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
    ['far.img', ['-o', '9007199254740993', '--sizelimit', '9223372036854775807']],
  ];
  for (const [name, args] of files) {
    const file = makeSparseFile(dir.file(name), 4 * MIB);
    await using pair = await bindBoth(...args, file);
    const formats = [[], ['-n'], ['--raw'], ['--raw', '-n'], ['-J']];
    for (const format of formats) {
      // 2.38 pads device numbers for programs, too, and 2.42 does not.
      const columns = format.some((word) => word !== '-n') ? COLUMNS : `BACK-MAJ:MIN,${COLUMNS}`;
      const words = ['-l', ...format, '-O', columns];
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

/** Answers that tell who answers: our messages begin as losetup's, then say more. */
const asLosetup = (text: string): string =>
  text
    .replaceAll('nbdlosetup', 'losetup')
    .replaceAll(tool('losetup'), 'losetup')
    .replace(/ \(E[A-Z]+\)$/m, '');

t.test(
  'command lines are understood, or refused, as by the losetup that is installed',
  { skip, timeout: 200_000 },
  async (t) => {
    using dir = new TempDir();
    const file = makeSparseFile(dir.file('a.img'), MIB);
    await using pair = await bindBoth('-o', '4096', file);
    const words = (line: string, device: string): string[] =>
      line.split(' ').map((word) => ({ FILE: file, NONE: dir.file('none'), DEV: device })[word] ?? word);
    for (const line of SAME_IN_BOTH) {
      const theirs = await losetup(...words(line, pair.kernel.path));
      const ours = await pair.daemon.cli('nbdlosetup', ...words(line, 'loop0'));
      t.equal(ours.status, theirs.status, `losetup ${line}: exit status`);
      const [said, stdout] = [theirs.stderr, theirs.stdout].map((text) =>
        asLosetup(text.replaceAll(pair.kernel.path, 'loop0')),
      );
      t.equal(asLosetup(ours.stderr), said, `losetup ${line}: message`);
      t.equal(ours.stdout, stdout, `losetup ${line}: output`);
    }
  },
);

t.test(
  'where losetup 2.42 does otherwise than 2.38, command lines are its',
  { timeout: 120_000 },
  async (t) => {
    using dir = new TempDir();
    const file = makeSparseFile(dir.file('a.img'), MIB);
    await using daemon = await Daemon.start();
    await daemon.cliOk('nbdlosetup', '--no-attach', '-f', '--loop-ref', 'my-disk', file);
    const { dev } = statSync(file, { bigint: true });
    const { major, minor } = blockDeviceOf(dev);
    for (const [line, recorded] of ONLY_IN_2_42) {
      const words = line.replaceAll('FILE', file).replaceAll('DEV', 'loop0').split(' ');
      const ours = await daemon.cli('nbdlosetup', ...words);
      t.equal(ours.status, recorded.status, `losetup ${line}: exit status`);
      t.equal(asLosetup(ours.stderr), recorded.says === undefined ? '' : `losetup: ${recorded.says}\n`, line);
      const printed = (recorded.prints ?? '').replaceAll('MAJOR', `${major}`).replaceAll('MINOR', `${minor}`);
      t.equal(ours.stdout, printed, line);
    }
    const every = await daemon.cli('nbdlosetup', '--output-all', '--raw');
    t.equal(
      every.stdout.split('\n')[0],
      'NAME AUTOCLEAR BACK-FILE BACK-INO BACK-MAJ:MIN BACK-MAJ BACK-MIN MAJ:MIN MAJ MIN OFFSET PARTSCAN REF RO SIZELIMIT DIO LOG-SEC',
      'it lists without --list, in the order of 2.42',
    );
    t.match(every.stdout.split('\n')[1], / my-disk /);
  },
);

t.test(
  'a reference is the name of the file unless one is given, 63 bytes, and outlives a rename',
  async (t) => {
    using dir = new TempDir();
    const long = makeSparseFile(dir.file(`${'\u00e4'.repeat(60)}.img`), MIB);
    await using daemon = await Daemon.start();
    const reference = async (device: string): Promise<Buffer> => {
      const { stdout } = await daemon.cli('nbdlosetup', '-J', '-l', '-O', 'REF', device);
      return nameToBytes(JSON.parse(stdout).loopdevices[0].ref);
    };
    await daemon.cliOk('nbdlosetup', '--no-attach', 'loop0', long);
    const status = await daemon.client.device(0);
    t.strictSame(
      nameToBytes(status.reference ?? ''),
      Buffer.from(long).subarray(0, 63),
      'cut at a byte, as the kernel has it',
    );
    await daemon.cliOk('nbdlosetup', '--no-attach', '--loop-ref', 'x'.repeat(70), 'loop1', long);
    t.equal((await reference('loop1')).toString(), 'x'.repeat(63), 'what is too long is cut');
    await daemon.cliOk('nbdlosetup', '--no-attach', '--loop-ref', '', 'loop2', long);
    t.strictSame((await daemon.client.device(2)).reference, status.reference, 'an empty one is none');
    renameSync(long, dir.file('b.img'));
    t.equal((await daemon.client.device(0)).reference, status.reference, 'a rename leaves it');
    await daemon.client.add(3);
    const refused = daemon.client.configure(3, { file: dir.file('b.img'), reference: '\u00e4'.repeat(32) });
    await t.rejects(refused, { message: /at most 63 bytes/ }, 'the API cuts nothing');
  },
);

t.test('--remove removes devices that serve nothing, and goes on after a failure', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start();
  await daemon.cliOk('nbdlosetup', '--no-attach', 'loop1', file);
  await daemon.client.add(2);
  const removed = await daemon.cli('nbdlosetup', '--remove', 'loop1', 'loop7', 'loop2');
  t.equal(removed.status, 1);
  t.match(
    removed.stderr,
    /^nbdlosetup: loop1: remove failed: .*EBUSY.*\nnbdlosetup: loop7: remove failed: .*ENODEV.*\n$/,
  );
  t.strictSame(
    (await daemon.client.list()).map(({ number }) => number),
    [1],
    'the last one is gone',
  );
});

t.test('--nooverlap counts for a device that is named, too', async (t) => {
  using dir = new TempDir();
  const [a, b] = [makeSparseFile(dir.file('a.img'), MIB), makeSparseFile(dir.file('b.img'), MIB)];
  await using daemon = await Daemon.start();
  await daemon.cliOk('nbdlosetup', '--no-attach', 'loop0', a);
  const refused = await daemon.cli('nbdlosetup', '--no-attach', '-L', 'loop1', a);
  t.equal(refused.status, 1, 'also for the very range that is served');
  t.match(refused.stderr, /overlapping loop device exists: loop0 \(EEXIST\)/);
  t.equal(
    (await daemon.cli('nbdlosetup', '--no-attach', '-L', 'loop2', b)).status,
    0,
    'a free range is bound',
  );
  t.equal((await daemon.client.device(1)).file, null);
  // Of callers at the same moment one gets it.
  const file = makeSparseFile(dir.file('c.img'), MIB);
  const numbers = [10, 11, 12, 13];
  for (const number of numbers) await daemon.client.add(number);
  const bound = await Promise.allSettled(
    numbers.map((number) => daemon.client.configure(number, { file, noOverlap: true })),
  );
  t.equal(bound.filter(({ status }) => status === 'fulfilled').length, 1);
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

t.test(
  'direct I/O that is off although it was asked for, and sectors it has changed, are told on standard error',
  { skip },
  async (t) => {
    using dir = new TempDir();
    const file = makeSparseFile(dir.file('a.img'), 4 * MIB);
    await using daemon = await Daemon.start();
    const words = ['--no-attach', '-f', '--show', '-J', '--direct-io', '-o', '100'];
    const off = await daemon.cli('nbdlosetup', ...words, file);
    t.equal(off.status, 0, 'as with losetup it is bound all the same');
    t.match(
      off.stderr,
      /a\.img: Warning: direct I\/O was asked for and is off, as the offset 100 is not a multiple of \d+\./,
    );
    t.match((await daemon.client.device(0)).warnings, [/direct I\/O/], 'the API tells it, too');
    await using disk = await KernelLoop.attach('-b', '4096', file);
    const large = await daemon.cli('nbdlosetup', '--no-attach', 'loop1', '--direct-io', disk.path);
    t.equal((await daemon.client.device(1)).blockSize, 4096);
    t.match(
      large.stderr,
      /Warning: direct I\/O needs sectors of 4096 bytes here, so that it has them in place of 512\./,
    );
    t.equal((await daemon.client.device(1)).directIo, true);
    const small = await daemon.cli('nbdlosetup', '-b', '512', 'loop1');
    t.match(
      small.stderr,
      /loop1: Warning: direct I\/O was asked for and is off, as the block size 512 is below 4096\.\n$/,
    );
    t.strictSame((await daemon.client.device(1)).directIo, false);
    await daemon.cliOk('nbdlosetup', '-b', '4096', '--direct-io', 'loop1');
    t.strictSame((await daemon.client.device(1)).warnings, [], 'what is so again is told no more');
    const quiet = await daemon.cli('nbdlosetup', '--no-attach', 'loop2', '--direct-io', '-b', '4096', file);
    t.equal(quiet.stderr, '', 'what is as asked is not told');
  },
);
