import { ftruncateSync, writeSync } from 'node:fs';
import t from 'tap';
import { type Extents, extentAt, isKnownData, REMEMBERED } from '../../../driver/io/extents.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate } from '../../../driver/io/file-calls.js';
import { fileSystems, OpenFile } from '../../helpers/file-systems.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';

const MIB = 1 << 20;
const NEVER = Number.NEGATIVE_INFINITY;
const unknown = (): Extents => ({ seek: true, dataStart: 0, dataEnd: 0, dataSeen: NEVER });

/** A file of 4 MiB with data in its second and fourth. */
const striped = (dir: TempDir): OpenFile => {
  const file = OpenFile.open(makeSparseFile(dir.file('image'), 4 * MIB));
  for (const position of [MIB, 3 * MIB]) writeSync(file.fd, Buffer.alloc(MIB, 1), 0, MIB, position);
  return file;
};

for (const [name, directory] of fileSystems()) {
  t.test(`${name}: runs of data and holes`, async (t) => {
    using dir = new TempDir(directory);
    using file = striped(dir);
    const known = unknown();
    const at = (position: number, length: number): number => extentAt(file.fd, position, length, known, 1);
    t.equal(at(0, 4 * MIB), -MIB);
    t.equal(at(MIB, 4 * MIB), MIB);
    t.equal(at(2 * MIB, 4 * MIB), -MIB);
    t.equal(at(3 * MIB, 4 * MIB), MIB, 'to the end of the file');
    t.equal(at(100, 50), -50, 'not past what was asked for');
    t.equal(at(MIB + 100, 50), 50);
    t.equal(at(MIB - 1, 4 * MIB), -1);
    t.equal(at(2 * MIB - 1, 4 * MIB), 1);
    t.equal(at(4 * MIB, 5000), -5000, 'past the end of the file is a hole');
    t.equal(at(2 ** 50, 512), -512);
    t.ok(known.seek);
  });

  t.test(`${name}: runs add up to the range, whatever it is`, async (t) => {
    using dir = new TempDir(directory);
    using file = striped(dir);
    const known = unknown();
    for (const [from, to] of [
      [0, 4 * MIB],
      [1, 4 * MIB - 1],
      [MIB / 2, 6 * MIB],
    ] as const) {
      let position = from;
      while (position < to) {
        const run = extentAt(file.fd, position, to - position, known, 1);
        if (run === 0) t.fail(`nothing at ${position}`);
        position += Math.abs(run);
      }
      t.equal(position, to);
    }
  });

  t.test(`${name}: a block of which some is data is data`, async (t) => {
    using dir = new TempDir(directory);
    using file = striped(dir);
    ftruncateSync(file.fd, 3 * MIB + 700);
    const known = unknown();
    const at = (position: number, length: number): number => extentAt(file.fd, position, length, known, 512);
    t.equal(at(3 * MIB, MIB), 1024, 'the end of the file lies in it');
    t.equal(at(3 * MIB + 512, MIB), 512, 'also where the run was found before');
    t.equal(at(3 * MIB + 1024, MIB), -MIB);
    t.equal(at(3 * MIB, 512), 512, 'not past what was asked for');
    t.equal(at(MIB, 4 * MIB), MIB, 'what ends on a block is as it was');
    t.equal(at(MIB - 700, 4 * MIB), -512, 'a hole ends before the block that data begins in');
    t.equal(at(MIB - 188, 4 * MIB), 512, 'and is none if it is less than a block');
    t.equal(at(2 ** 50, 512), -512);
  });

  t.test(`${name}: data is known as long as nothing was learned to the contrary`, async (t) => {
    using dir = new TempDir(directory);
    using file = striped(dir);
    const known = unknown();
    t.notOk(isKnownData(file.fd, 0, MIB, known), 'a hole');
    t.notOk(isKnownData(file.fd, MIB, 2 * MIB, known), 'data and a hole');
    t.ok(isKnownData(file.fd, MIB + 512, 4096, known));
    t.strictSame([known.dataStart, known.dataEnd], [MIB, 2 * MIB], 'the run is remembered');
    t.ok(isKnownData(file.fd, 2 * MIB - 512, 512, known));
    fallocate(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, MIB);
    t.ok(isKnownData(file.fd, MIB + 512, 4096, known), 'a hole may be taken for data');
    t.equal(extentAt(file.fd, MIB + 512, MIB, known, 1), MIB - 512, 'also where runs are asked for');
    known.dataSeen -= REMEMBERED;
    t.ok(extentAt(file.fd, MIB + 512, MIB, known, 1) < 0, 'but not for long');
    ftruncateSync(file.fd, 0);
    t.notOk(isKnownData(file.fd, 3 * MIB, 512, known), 'what never was data is not known as such');
  });
}

t.test('where a file cannot tell, all of it is data, and it is not asked again', async (t) => {
  using device = OpenFile.open('/dev/zero');
  const known = unknown();
  const run = extentAt(device.fd, 4096, 8192, known, 1);
  if (known.seek) {
    // Some kernels have a word for it: then the word counts.
    t.not(run, 0);
    return;
  }
  t.equal(run, 8192);
  t.ok(isKnownData(-1, 0, 4096, known));
});
