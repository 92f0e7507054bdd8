import { constants, openSync } from 'node:fs';
import koffi from 'koffi';
import t from 'tap';
import { BackingFile } from '../../../driver/io/backing-file.js';
import { imageLocks } from '../../../driver/io/image-locks.js';
import { OpenFile } from '../../helpers/file-systems.js';
import { errnoOf } from '../../helpers/loop-bench.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';

const fcntl = koffi.load('libc.so.6').func('int fcntl(int fd, int command, ...)');
const F_OFD_SETLK = 37;
const F_RDLCK = 0;

/** Locks bytes as qemu does: shared, by an open file description of its own. */
function lockBytes(path: string, ...bytes: readonly number[]): OpenFile {
  const file = new OpenFile(openSync(path, constants.O_RDONLY));
  for (const byte of bytes) {
    const lock = Buffer.alloc(32);
    lock.writeInt16LE(F_RDLCK, 0);
    lock.writeBigInt64LE(BigInt(byte), 8);
    lock.writeBigInt64LE(1n, 16);
    if (fcntl(file.fd, F_OFD_SETLK, 'void *', lock) !== 0)
      throw new Error(`byte ${byte} is not to be locked`);
  }
  return file;
}

/** The bytes that are named. */
const seen = async (path: string, writable: boolean): Promise<number[]> => {
  using file = OpenFile.open(path, 'r+');
  return (await imageLocks(file.fd, { writable })).map((text) => Number(/byte (\d+)/.exec(text)?.[1]));
};

t.test('locks that are in the way of a writer, and of a reader', async (t) => {
  using dir = new TempDir();
  const path = makeSparseFile(dir.file('disk.img'), 1 << 20);
  const cases: [locked: number[], toWriter: number[], toReader: number[]][] = [
    [[], [], []],
    [[99, 204], [], []],
    [[100], [100], []],
    [
      [100, 101, 103],
      [100, 101, 103],
      [101, 103],
    ],
    [[200], [200], [200]],
    [[201], [201], []],
    [[102, 203], [], []],
  ];
  for (const [locked, toWriter, toReader] of cases) {
    using _holder = lockBytes(path, ...locked);
    t.strictSame(await seen(path, true), toWriter, `${locked}: for a writer`);
    t.strictSame(await seen(path, false), toReader, `${locked}: for a reader`);
  }
});

t.test(
  'a locked image is opened with a warning, and not at all where it is wanted exclusively',
  async (t) => {
    using dir = new TempDir();
    const path = makeSparseFile(dir.file('disk.img'), 1 << 20);
    {
      using _holder = lockBytes(path, 100, 101);
      const file = await BackingFile.open(path, { readOnly: false });
      t.match(file.warnings, [/disk\.img is in use as a disk image: .*byte 100.*, .*write lock \(byte 101/]);
      await file.close();
      t.equal(await errnoOf(BackingFile.open(path, { readOnly: false, exclusive: true })), 'EBUSY');
      t.equal(
        await errnoOf(BackingFile.open(path, { readOnly: true, exclusive: true })),
        'EBUSY',
        'for reading',
      );
    }
    const file = await BackingFile.open(path, { readOnly: false, exclusive: true });
    t.same(file.warnings, []);
    await file.close();
  },
);
