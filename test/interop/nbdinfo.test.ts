import { closeSync, openSync, writeSync } from 'node:fs';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { runOk } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(120_000);
const skip = skipUnless('nbdinfo');

interface NbdInfo {
  readonly exports: readonly Readonly<Record<string, unknown>>[];
}

/** Type 0 is data, 3 a hole that reads as zeroes. */
interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

const info = async (...args: string[]): Promise<NbdInfo> =>
  JSON.parse(await runOk(tool('nbdinfo'), ['--json', ...args])) as NbdInfo;

t.test('an export is described to nbdinfo as it is', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), (64 << 20) + 700);
  await using daemon = await Daemon.start({ devices: [image] });
  const { exports } = await info(daemon.uri('loop0'));
  t.match(exports, [
    {
      'export-name': 'loop0',
      'export-size': (64 << 20) | 512,
      is_read_only: false,
      can_flush: true,
      can_fua: true,
      can_trim: true,
      can_zero: true,
      can_cache: true,
      can_multi_conn: true,
      is_rotational: false,
    },
  ]);
  t.match(exports, [{ block_size_minimum: 512, block_size_preferred: 4096, block_size_maximum: 32 << 20 }]);
});

t.test('nbdinfo maps data and holes as the file has them', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 16 << 20);
  const fd = openSync(image, 'r+');
  writeSync(fd, Buffer.alloc(1 << 20, 7), 0, 1 << 20, 4 << 20);
  closeSync(fd);
  await using daemon = await Daemon.start({ devices: [image] });
  const map = JSON.parse(await runOk(tool('nbdinfo'), ['--map', '--json', daemon.uri()])) as Extent[];
  t.strictSame(
    map.map(({ offset, length, type }) => ({ offset, length, type })),
    [
      { offset: 0, length: 4 << 20, type: 3 },
      { offset: 4 << 20, length: 1 << 20, type: 0 },
      { offset: 5 << 20, length: 11 << 20, type: 3 },
    ],
  );
});

t.test('a read-only device is a read-only export', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 1 << 20);
  await using daemon = await Daemon.start();
  await daemon.client.add(3);
  await daemon.client.configure(3, { file: image, readOnly: true });
  const { exports } = await info(daemon.uri('loop3'));
  t.match(exports, [{ 'export-size': 1 << 20, is_read_only: true }]);
});

t.test('all devices are listed, also those with nothing bound', { skip }, async (t) => {
  using files = new TempDir();
  const one = makeSparseFile(files.file('one.img'), 1 << 20);
  const two = makeSparseFile(files.file('two.img'), 2 << 20);
  await using daemon = await Daemon.start({ devices: [one, two] });
  await daemon.client.add(7);
  const { exports } = await info('--list', daemon.uri(''));
  t.strictSame(exports.map((each) => [each['export-name'], each['export-size']]).sort(), [
    ['loop0', 1 << 20],
    ['loop1', 2 << 20],
    ['loop7', 0],
  ]);
});

t.test('an export nobody has is refused, and the daemon goes on', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('disk.img'), 1 << 20);
  await using daemon = await Daemon.start({ devices: [image] });
  await t.rejects(info(daemon.uri('loop99')), { message: /loop99/ });
  const { exports } = await info(daemon.uri('loop0'));
  t.equal(exports.length, 1);
});
