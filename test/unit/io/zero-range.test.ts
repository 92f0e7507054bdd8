import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { punchRange, type ZeroSupport, zeroRange } from '../../../driver/io/zero-range.js';
import { fileSystems, OpenFile } from '../../helpers/file-systems.js';
import { run, runOk } from '../../helpers/process.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';
import { skipUnless, tool } from '../../helpers/tools.js';

const { EBADF, EOPNOTSUPP } = constants.errno;
const MIB = 1 << 20;
const can = (): ZeroSupport => ({ punch: true, zero: true, allocate: undefined });
const MODES = [
  { punch: true, fast: false },
  { punch: false, fast: false },
  { punch: true, fast: true },
] as const;

const unmount = async (directory: string): Promise<void> => {
  await runOk(tool('umount'), [directory]);
};

/** Bytes of blocks that a file occupies. */
const allocated = (path: string): number => statSync(path).blocks * 512;

for (const [name, directory] of fileSystems()) {
  t.test(`${name}: TRIM gives blocks back and leaves zeroes, to the byte`, async (t) => {
    using dir = new TempDir(directory);
    const path = makeRandomFile(dir.file('image'), 2 * MIB);
    using file = OpenFile.open(path);
    const content = readFileSync(path);
    const before = allocated(path);
    t.equal(punchRange(file.fd, 1000, MIB, can()), 0);
    content.fill(0, 1000, 1000 + MIB);
    t.ok(readFileSync(path).equals(content));
    t.ok(allocated(path) <= before - MIB + 2 * 4096, 'but for the pages at its ends');
    t.equal(punchRange(file.fd, 2 * MIB - 512, 8192, can()), 0);
    t.equal(statSync(path).size, 2 * MIB, 'a range past the end does not make the file longer');
  });

  t.test(`${name}: WRITE_ZEROES leaves zeroes, to the byte, in every mode that is granted`, async (t) => {
    using dir = new TempDir(directory);
    for (const [index, mode] of MODES.entries()) {
      const path = makeRandomFile(dir.file(`image${index}`), 2 * MIB);
      using file = OpenFile.open(path);
      const content = readFileSync(path);
      t.equal(zeroRange(file.fd, 1000, MIB, mode, can()), 0, JSON.stringify(mode));
      content.fill(0, 1000, 1000 + MIB);
      t.ok(readFileSync(path).equals(content));
      t.equal(statSync(path).size, 2 * MIB);
    }
  });

  t.test(`${name}: with NO_HOLE the blocks stay allocated`, async (t) => {
    using dir = new TempDir(directory);
    const path = makeRandomFile(dir.file('image'), 2 * MIB);
    using file = OpenFile.open(path);
    const before = allocated(path);
    t.equal(zeroRange(file.fd, 0, 2 * MIB, { punch: false, fast: false }, can()), 0);
    t.ok(allocated(path) >= before, 'no block is given back');
    t.ok(readFileSync(path).equals(Buffer.alloc(2 * MIB)));
    t.equal(zeroRange(file.fd, 0, 2 * MIB, { punch: true, fast: false }, can()), 0);
    t.ok(allocated(path) < before / 2, 'without it they are');
  });

  t.test(
    `${name}: where the file system has no word for it, zeroes are written, unless it must be fast`,
    async (t) => {
      using dir = new TempDir(directory);
      const path = makeRandomFile(dir.file('image'), 3 * MIB);
      using file = OpenFile.open(path);
      const none = { punch: false, zero: false, allocate: undefined };
      const before = readFileSync(path);
      t.equal(zeroRange(file.fd, 100, 2 * MIB, { punch: true, fast: true }, none), EOPNOTSUPP);
      t.equal(punchRange(file.fd, 100, 2 * MIB, none), 0, 'TRIM is a hint');
      t.ok(readFileSync(path).equals(before), 'and nothing happened');
      t.equal(zeroRange(file.fd, 100, 2 * MIB, { punch: true, fast: false }, none), 0);
      before.fill(0, 100, 100 + 2 * MIB);
      t.ok(readFileSync(path).equals(before));
    },
  );
}

t.test(
  'where holes cannot be filled again, NO_HOLE writes zeroes or, if it must be fast, does nothing',
  async (t) => {
    using dir = new TempDir();
    const path = makeRandomFile(dir.file('image'), 2 * MIB);
    using file = OpenFile.open(path);
    const ext2 = { punch: true, zero: false, allocate: false };
    const before = readFileSync(path);
    t.equal(zeroRange(file.fd, 100, MIB, { punch: false, fast: true }, ext2), EOPNOTSUPP);
    t.ok(readFileSync(path).equals(before), 'nothing happened');
    const blocks = allocated(path);
    t.equal(zeroRange(file.fd, 100, MIB, { punch: false, fast: false }, ext2), 0);
    before.fill(0, 100, 100 + MIB);
    t.ok(readFileSync(path).equals(before));
    t.ok(allocated(path) >= blocks, 'no block is given back');
  },
);

t.test(
  'ext2 has no way to fill holes, which is learned before anything is punched',
  { skip: process.getuid?.() === 0 ? skipUnless('mkfs.ext2', 'mount') : 'needs root to mount' },
  async (t) => {
    using dir = new TempDir();
    const image = dir.file('ext2');
    writeFileSync(image, '');
    truncateSync(image, 16 * MIB);
    await runOk(tool('mkfs.ext2'), ['-q', image]);
    const directory = dir.file('mounted');
    mkdirSync(directory);
    const mounted = await run(tool('mount'), ['-o', 'loop', image, directory]);
    if (mounted.status !== 0) {
      t.skip('nothing can be mounted here', () => {});
      return;
    }
    await using _ = { [Symbol.asyncDispose]: () => unmount(directory) };
    for (const fast of [true, false]) {
      const path = join(directory, `image${fast}`);
      const before = randomBytes(2 * MIB);
      writeFileSync(path, before);
      using file = OpenFile.open(path);
      const learned = can();
      const errno = zeroRange(file.fd, 100, MIB, { punch: false, fast }, learned);
      t.equal(errno, fast ? EOPNOTSUPP : 0);
      if (!fast) before.fill(0, 100, 100 + MIB);
      t.ok(readFileSync(path).equals(before), `fast ${fast}`);
      t.match(learned, { punch: true, zero: false, allocate: false });
    }
  },
);

t.test('what a file system cannot do is learned', async (t) => {
  using device = OpenFile.open('/dev/null');
  const learned = can();
  t.equal(punchRange(device.fd, 0, 4096, learned), 0, 'TRIM does nothing');
  t.strictSame(learned, { punch: false, zero: true, allocate: undefined });
  t.equal(zeroRange(device.fd, 0, 4096, { punch: true, fast: true }, learned), EOPNOTSUPP);
  t.strictSame(learned, { punch: false, zero: false, allocate: undefined });
  t.equal(zeroRange(device.fd, 0, 4096, { punch: true, fast: false }, learned), 0, 'zeroes were written');
});

t.test('an error is the result, and nothing is learned from it', async (t) => {
  using dir = new TempDir();
  using file = OpenFile.open(makeRandomFile(dir.file('image'), 8192), 'r');
  const learned = can();
  t.equal(punchRange(file.fd, 0, 4096, learned), EBADF);
  for (const mode of MODES) t.equal(zeroRange(file.fd, 0, 4096, mode, learned), EBADF);
  t.equal(zeroRange(file.fd, 0, 4096, MODES[0], { punch: false, zero: false, allocate: undefined }), EBADF);
  t.strictSame(learned, can());
  using full = OpenFile.open('/dev/full');
  t.equal(
    zeroRange(full.fd, 0, 4096, MODES[0], { punch: false, zero: false, allocate: undefined }),
    constants.errno.ENOSPC,
  );
});
