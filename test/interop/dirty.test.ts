/** Incremental backup: what nbdinfo is told through `nbdloop:dirty`. */
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { runOk } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(120_000);

const KIB = 1024;
const MIB = 1 << 20;
const skip = skipUnless('nbdinfo', 'qemu-io');
/** Debian's own, which has Debian's python3-libnbd. */
const PYTHON = '/usr/bin/python3';
const withoutBinding = (): string | false =>
  !existsSync('/usr/lib/python3/dist-packages/nbd.py') && 'python3-libnbd is not installed';

/** [offset, length] of what is dirty. */
const dirty = async (daemon: Daemon): Promise<[number, number][]> => {
  const told = await runOk(tool('nbdinfo'), ['--map=nbdloop:dirty', '--json', daemon.uri()]);
  const extents = JSON.parse(told) as { offset: number; length: number; type: number }[];
  return extents.filter(({ type }) => type === 1).map(({ offset, length }) => [offset, length]);
};

const qemuIo = (daemon: Daemon, ...commands: string[]): Promise<string> =>
  runOk(tool('qemu-io'), ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), daemon.uri()]);

t.test(
  'what was written, zeroed or discarded since the last reset is dirty, in 64 KiB',
  { skip },
  async (t) => {
    using files = new TempDir();
    const image = makeRandomFile(files.file('disk.img'), 8 * MIB);
    await using daemon = await Daemon.start({ devices: [image] });
    t.strictSame(await dirty(daemon), [], 'a fresh binding is clean, and reading leaves it so');

    await qemuIo(daemon, 'write 100k 4k', 'write -z 1M 128k', 'discard 2M 64k', 'write 4194303 2');
    t.strictSame(await dirty(daemon), [
      [64 * KIB, 64 * KIB],
      [MIB, 128 * KIB],
      [2 * MIB, 64 * KIB],
      [4 * MIB - 64 * KIB, 128 * KIB],
    ]);

    await daemon.client.resetDirty(0);
    t.strictSame(await dirty(daemon), [], 'a reset begins anew');
    await qemuIo(daemon, 'write 0 1');
    t.strictSame(await dirty(daemon), [[0, 64 * KIB]]);

    await daemon.client.directIo(0, true).catch(() => undefined);
    t.strictSame(await dirty(daemon), [[0, 64 * KIB]], 'direct I/O changes nothing of it');
    await daemon.client.settings(0, { offset: 512 });
    t.strictSame(await dirty(daemon), [[0, 8 * MIB - 512]], 'where everything moved, everything is dirty');

    await daemon.client.clear(0, { force: true });
    await t.rejects(daemon.client.resetDirty(0), { errno: 'ENXIO', message: /loop0/ });
    await daemon.client.configure(0, { file: image });
    t.strictSame(await dirty(daemon), [], 'a new binding is clean');
  },
);

/** A backup program: copies the ranges it is given from an export into a file, through libnbd's Python binding. */
const COPY_RANGES = `
import json, nbd, os, sys
uri, path, ranges = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
h = nbd.NBD()
h.connect_uri(uri)
f = os.open(path, os.O_WRONLY)
for offset, length in ranges:
    os.pwrite(f, h.pread(length, offset), offset)
os.close(f)
h.shutdown()
`;

t.test(
  'a full backup and three incremental ones, by clients alone, while the device is in use',
  { skip: skipUnless('nbdinfo', 'qemu-io', 'qemu-img', 'nbdcopy', 'fio', 'python3') || withoutBinding() },
  async (t) => {
    using files = new TempDir();
    const image = makeRandomFile(files.file('disk.img'), 32 * MIB);
    const backup = files.file('backup.img');
    await using daemon = await Daemon.start({ devices: [image] });
    await runOk(tool('nbdcopy'), [daemon.uri(), backup]);
    t.ok(readFileSync(backup).equals(readFileSync(image)), 'the full one');
    for (let round = 1; round <= 3; round++) {
      await daemon.client.resetDirty(0);
      await runOk(tool('fio'), [
        ...[
          '--name=w',
          '--ioengine=nbd',
          `--uri=${daemon.uri()}`,
          '--rw=randwrite',
          '--bs=4k',
          '--iodepth=8',
        ],
        ...['--io_size=512k', '--size=32m', `--randseed=${round}`],
      ]);
      await qemuIo(daemon, `discard ${round}M 256k`, `write -z ${8 + round}M 100k`, 'flush');
      const changed = await dirty(daemon);
      const bytes = changed.reduce((sum, [, length]) => sum + length, 0);
      t.ok(bytes > 0 && bytes < 16 * MIB, `${changed.length} ranges, ${bytes >> 10} KiB of 32 MiB`);
      await runOk(PYTHON, ['-c', COPY_RANGES, daemon.uri(), backup, JSON.stringify(changed)]);
      const compared = await runOk(tool('qemu-img'), [
        'compare',
        '-f',
        'raw',
        '-F',
        'raw',
        daemon.uri(),
        backup,
      ]);
      t.match(compared, /Images are identical/, `incremental ${round}`);
    }
    t.ok(readFileSync(backup).equals(readFileSync(image)));
  },
);

t.test('nbdinfo lists both contexts', { skip }, async (t) => {
  using files = new TempDir();
  await using daemon = await Daemon.start({ devices: [makeSparseFile(files.file('disk.img'), MIB)] });
  const told = JSON.parse(await runOk(tool('nbdinfo'), ['--json', daemon.uri()]));
  t.strictSame(told.exports[0].contexts, ['base:allocation', 'nbdloop:dirty', 'nbdloop:overlay']);
});
