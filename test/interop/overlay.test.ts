/** Golden images as a user has them: the tools, other programs' clients, and what ends of the daemon leave. */
import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import t from 'tap';
import { checksum } from '../helpers/checksum.js';
import { Daemon } from '../helpers/daemon.js';
import { runOk } from '../helpers/process.js';
import { takeOver } from '../helpers/take-over.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

const MIB = 1 << 20;
t.setTimeout(180_000);

/** Writes with qemu-io, without a flush unless it is one of the commands. */
const qemuIo = (uri: string, ...commands: readonly string[]): Promise<unknown> =>
  runOk(tool('qemu-io'), [
    '-f',
    'raw',
    '-t',
    'writeback',
    ...commands.flatMap((command) => ['-c', command]),
    uri,
  ]);

const NEEDS = { skip: skipUnless('qemu-io', 'nbdcopy', 'nbdinfo') };

t.test('clones of one image: the tools make them, show them, and let them go', NEEDS, async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('gold.img'), 8 * MIB);
  const before = await checksum(image);
  await using daemon = await Daemon.start();
  const bind = (...args: string[]) =>
    daemon.cliOk('nbdlosetup', '--no-attach', '--show', ...args, '-f', image);
  t.match(await bind('--overlay', files.file('a.delta')), /loop0/);
  t.match(await bind('--overlay', files.file('b.delta')), /loop1/);
  t.match(await bind('--temporary'), /loop2/);
  await qemuIo(daemon.uri('loop0'), 'write -P 1 0 64k');
  await qemuIo(daemon.uri('loop1'), 'write -P 2 512 3k', 'read -P 2 512 3k');
  await qemuIo(daemon.uri('loop0'), 'read -P 1 0 64k');
  t.equal(await checksum(image), before, 'the image is as it was');

  const table = await daemon.cliOk('nbdlosetup', '-l', '--raw', '-n', '-O', 'NAME,BACK-FILE,LAYERS,DELTA');
  t.match(table.split('\n'), [
    `loop0 ${image} 2 ${files.file('a.delta')}`,
    `loop1 ${image} 2 ${files.file('b.delta')}`,
    new RegExp(`^loop2 ${image} 2 .*deleted`),
  ]);
  const layers = await daemon.client.layers(1);
  t.match(layers, [
    { kind: 'delta', path: files.file('b.delta'), heldBlocks: 1, heldBytes: 4096 },
    { kind: 'base', path: image, size: 8 * MIB },
  ]);
  const map = await runOk(tool('nbdinfo'), ['--map=nbdloop:overlay', '--json', daemon.uri('loop0')]);
  t.match(JSON.parse(map), [
    { offset: 0, length: 65_536, type: 1 },
    { offset: 65_536, length: 8 * MIB - 65_536, type: 0 },
  ]);

  const refused = await daemon.cli('nbdlosetup', '--no-attach', '-f', image);
  t.equal(refused.status, 1);
  t.match(refused.stderr, /is the base of loop0, loop1, loop2/);
  await daemon.cliOk('nbdlosetup', '-D');
  t.match(await bind(), /loop0/, 'it may be written now');
});

t.test('every end of the daemon leaves what was written, also what nobody flushed', NEEDS, async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  let image = makeRandomFile(files.file('gold.img'), 8 * MIB);
  const delta = files.file('a.delta');
  const maps = (): string[] => readdirSync(directory.file('state')).filter((name) => name.endsWith('.map'));
  const model = readFileSync(image);
  const write = async (daemon: Daemon, pattern: number): Promise<void> => {
    const at = pattern * 100 * 1024;
    model.fill(pattern, at, at + 10_000);
    await daemon.client.device(0);
    // nbdsh-like: the client goes away without a flush.
    await runOk(tool('qemu-io'), [
      '-f',
      'raw',
      '-t',
      'unsafe',
      '-c',
      `write -P ${pattern} ${at} 10000`,
      daemon.uri(),
    ]);
  };
  const check = async (daemon: Daemon, what: string): Promise<void> => {
    const copy = files.file('copy');
    await runOk(tool('nbdcopy'), [daemon.uri(), copy]);
    t.ok(readFileSync(copy).equals(model), what);
    t.match(await daemon.client.device(0), { file: image, delta, layers: 2 });
  };

  const first = await Daemon.start({ directory });
  await first.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', image);
  const { uuid } = await first.client.device(0);
  await write(first, 1);
  t.equal(maps().length, 1);
  await first.kill();
  const second = await Daemon.start({ directory });
  await check(second, 'after SIGKILL');
  t.equal((await second.client.device(0)).uuid, uuid);
  await write(second, 2);
  await second.kill();
  const third = await Daemon.start({ directory });
  await write(third, 3);
  await check(third, 'after another one');
  t.equal((await third.stop()).status, 0);
  t.equal(maps().length, 0, 'an end in order leaves all of it in the delta');
  const fourth = await Daemon.start({ directory });
  await write(fourth, 4);
  await check(fourth, 'after SIGTERM');
  // Its files are handed over open: another one has the image's name by now.
  renameSync(image, files.file('renamed'));
  makeRandomFile(image, MIB);
  await using fifth = await takeOver(directory, fourth);
  image = files.file('renamed');
  await check(fifth, 'after a handover');
  await write(fifth, 5);
  await check(fifth, 'and after that');
  await fifth.cliOk('nbdlosetup', '-d', 'loop0');
  t.equal(maps().length, 0);
  for (const daemon of [first, second, third, fourth]) await daemon[Symbol.asyncDispose]();
});

t.test('a temporary overlay outlives a handover, and nothing else', NEEDS, async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  const image = makeRandomFile(files.file('gold.img'), MIB);
  const first = await Daemon.start({ directory });
  await first.cliOk('nbdlosetup', '--no-attach', '--temporary', '-f', image);
  await qemuIo(first.uri(), 'write -P 7 4096 4096');
  const second = await takeOver(directory, first);
  await first[Symbol.asyncDispose]();
  await qemuIo(second.uri(), 'read -P 7 4096 4096');
  await second.kill();
  await second[Symbol.asyncDispose]();
  await using third = await Daemon.start({ directory });
  t.match(await third.client.unrecovered(), [{ number: 0, errno: 'EBADF', message: /had no name/ }]);
  t.ok(existsSync(image));
});
