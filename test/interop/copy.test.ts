import { statSync } from 'node:fs';
import t from 'tap';
import { checksum } from '../helpers/checksum.js';
import { Daemon, freePort } from '../helpers/daemon.js';
import { runOk } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(300_000);
const GIB = 1 << 30;

t.test(
  'nbdcopy moves a 1 GiB random image out and in bit by bit',
  { skip: skipUnless('nbdcopy') },
  async (t) => {
    using files = new TempDir();
    const source = makeRandomFile(files.file('source.img'), GIB);
    const target = makeSparseFile(files.file('target.img'), GIB);
    const expected = await checksum(source);
    await using daemon = await Daemon.start({ devices: [source, target] });

    const local = files.file('local.img');
    await runOk(tool('nbdcopy'), [daemon.uri('loop0'), local], { timeoutMs: 200_000 });
    t.equal(await checksum(local), expected, 'out');

    await runOk(tool('nbdcopy'), ['--flush', local, daemon.uri('loop1')], { timeoutMs: 200_000 });
    t.equal(await checksum(target), expected, 'in');
  },
);

t.test('nbdcopy copies from one device to another', { skip: skipUnless('nbdcopy') }, async (t) => {
  using files = new TempDir();
  const source = makeRandomFile(files.file('source.img'), 32 << 20);
  const target = makeSparseFile(files.file('target.img'), 32 << 20);
  const port = await freePort();
  await using daemon = await Daemon.start({ devices: [source, target], port });
  await runOk(tool('nbdcopy'), ['--synchronous', `nbd://127.0.0.1:${port}/loop0`, daemon.uri('loop1')]);
  t.equal(await checksum(target), await checksum(source));
});

t.test(
  'qemu-img converts to and from an export and finds no difference',
  { skip: skipUnless('qemu-img') },
  async (t) => {
    using files = new TempDir();
    const source = makeRandomFile(files.file('source.img'), 48 << 20);
    const target = makeSparseFile(files.file('target.img'), 48 << 20);
    await using daemon = await Daemon.start({ devices: [source, target] });
    const qemuImg = (...args: string[]): Promise<string> => runOk(tool('qemu-img'), args);

    const qcow = files.file('copy.qcow2');
    await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', daemon.uri('loop0'), qcow);
    await qemuImg('compare', '-f', 'raw', '-F', 'qcow2', daemon.uri('loop0'), qcow);
    await qemuImg('convert', '-n', '-f', 'qcow2', '-O', 'raw', qcow, daemon.uri('loop1'));
    t.match(
      await qemuImg('compare', '-f', 'raw', '-F', 'raw', daemon.uri('loop0'), daemon.uri('loop1')),
      'Images are identical',
    );
    t.equal(await checksum(target), await checksum(source));
  },
);

t.test(
  'zeroes that qemu-img writes take no space in the file',
  { skip: skipUnless('qemu-img') },
  async (t) => {
    using files = new TempDir();
    const zeroes = makeSparseFile(files.file('zeroes.img'), 64 << 20);
    const target = makeRandomFile(files.file('target.img'), 64 << 20);
    await using daemon = await Daemon.start({ devices: [target] });
    await runOk(tool('qemu-img'), ['convert', '-n', '-f', 'raw', '-O', 'raw', zeroes, daemon.uri('loop0')]);
    t.equal(await checksum(target), await checksum(zeroes));
    t.ok(statSync(target).blocks * 512 < 1 << 20, `${statSync(target).blocks} blocks`);
  },
);
