/** Incremental backup: what nbdinfo is told through `nbdloop:dirty`. */
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { runOk } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(120_000);

const KIB = 1024;
const MIB = 1 << 20;
const skip = skipUnless('nbdinfo', 'qemu-io');

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

t.test('nbdinfo lists both contexts', { skip }, async (t) => {
  using files = new TempDir();
  await using daemon = await Daemon.start({ devices: [makeSparseFile(files.file('disk.img'), MIB)] });
  const told = JSON.parse(await runOk(tool('nbdinfo'), ['--json', daemon.uri()]));
  t.strictSame(told.exports[0].contexts, ['base:allocation', 'nbdloop:dirty']);
});
