import { readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { punchRange, type ZeroSupport, zeroRange } from '../../../driver/io/zero-range.js';
import { fileSystems, OpenFile } from '../../helpers/file-systems.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';

const { EBADF, EOPNOTSUPP } = constants.errno;
const MIB = 1 << 20;
const can = (): ZeroSupport => ({ punch: true, zero: true });
const MODES = [
  { punch: true, fast: false },
  { punch: false, fast: false },
  { punch: true, fast: true },
] as const;

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
      const none = { punch: false, zero: false };
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

t.test('what a file system cannot do is learned', async (t) => {
  using device = OpenFile.open('/dev/null');
  const learned = can();
  t.equal(punchRange(device.fd, 0, 4096, learned), 0, 'TRIM does nothing');
  t.strictSame(learned, { punch: false, zero: true });
  t.equal(zeroRange(device.fd, 0, 4096, { punch: true, fast: true }, learned), EOPNOTSUPP);
  t.strictSame(learned, { punch: false, zero: false });
  t.equal(zeroRange(device.fd, 0, 4096, { punch: true, fast: false }, learned), 0, 'zeroes were written');
});

t.test('an error is the result, and nothing is learned from it', async (t) => {
  using dir = new TempDir();
  using file = OpenFile.open(makeRandomFile(dir.file('image'), 8192), 'r');
  const learned = can();
  t.equal(punchRange(file.fd, 0, 4096, learned), EBADF);
  for (const mode of MODES) t.equal(zeroRange(file.fd, 0, 4096, mode, learned), EBADF);
  t.equal(zeroRange(file.fd, 0, 4096, MODES[0], { punch: false, zero: false }), EBADF);
  t.strictSame(learned, can());
  using full = OpenFile.open('/dev/full');
  t.equal(zeroRange(full.fd, 0, 4096, MODES[0], { punch: false, zero: false }), constants.errno.ENOSPC);
});
