import { execFileSync } from 'node:child_process';
import {
  closeSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import t from 'tap';
import { BackingFile } from '../../../driver/io/backing-file.js';
import { lockDescriptor } from '../../../driver/io/file-lock.js';
import { errnoOf } from '../../helpers/loop-bench.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';

const MIB = 1 << 20;
const openFiles = (): number => readdirSync('/proc/self/fd').length;

t.test('a file is opened for writing, or only for reading', async (t) => {
  using dir = new TempDir();
  const path = makeSparseFile(dir.file('disk.img'), MIB + 1);
  for (const readOnly of [false, true]) {
    const file = await BackingFile.open(path, { readOnly });
    t.match(file, { path, writable: !readOnly, usable: true });
    t.equal(await file.size(), BigInt(MIB + 1));
    truncateSync(path, 5);
    t.equal(await file.size(), 5n, 'the present size');
    truncateSync(path, MIB + 1);
    await file.sync();
    await file.close();
  }
});

t.test('what is opened is closed, once, also where opening fails', async (t) => {
  using dir = new TempDir();
  const path = makeSparseFile(dir.file('disk.img'), MIB);
  const before = openFiles();
  const reader = await BackingFile.open(path, { readOnly: true });
  t.equal(openFiles(), before + 1);
  await reader.close();
  const file = await BackingFile.open(path, { readOnly: false });
  t.equal(openFiles(), before + 2, 'the file and its write lock');
  await file.close();
  t.equal(openFiles(), before);
  const other = await BackingFile.open(path, { readOnly: false });
  await file.close();
  await other.sync();
  t.pass('a second close closes nobody else');
  await other.close();
  const folder = await BackingFile.open(dir.path, { readOnly: false });
  t.match(folder, { usable: false, identity: { kind: 'other' } });
  await folder.close();
  t.equal(await errnoOf(BackingFile.open(dir.file('nowhere'), { readOnly: true })), 'EBADF');
  t.equal(openFiles(), before);
});

t.test('nobody else writes a file that is open for writing', async (t) => {
  using dir = new TempDir();
  const path = makeSparseFile(dir.file('disk.img'), MIB);
  // Such a lock belongs to an open file: this descriptor is as good as one of another process.
  const other = openSync(path, 'r+');
  t.equal(lockDescriptor(other), 0);
  t.equal(await errnoOf(BackingFile.open(path, { readOnly: false })), 'EBUSY');
  const reader = await BackingFile.open(path, { readOnly: true });
  await reader.close();
  closeSync(other);
  const [first, second] = await Promise.all([
    BackingFile.open(path, { readOnly: false }),
    BackingFile.open(path, { readOnly: false }),
  ]);
  await first.close();
  const rival = openSync(path, 'r+');
  t.not(lockDescriptor(rival), 0, 'the second device of this process still has it');
  const [next] = await Promise.all([BackingFile.open(path, { readOnly: false }), second.close()]);
  t.equal(next.writable, true, 'a lock that is being given up is not in the way');
  await next.close();
  t.equal(lockDescriptor(rival), 0);
  closeSync(rival);
});

t.test('it holds the file, not the name', async (t) => {
  using dir = new TempDir();
  const path = makeSparseFile(dir.file('disk.img'), MIB);
  symlinkSync('disk.img', dir.file('link'));
  const file = await BackingFile.open(dir.file('link'), { readOnly: false });
  t.equal(file.path, path);
  renameSync(path, dir.file('elsewhere'));
  writeFileSync(path, 'another file');
  t.equal(await file.size(), BigInt(MIB));
  await file.close();
});

t.test('what may not be opened is named only', async (t) => {
  using dir = new TempDir();
  const path = makeSparseFile(dir.file('disk.img'), MIB);
  const asked: bigint[] = [];
  const file = await BackingFile.open(path, {
    readOnly: false,
    mayOpen: ({ inode }) => {
      asked.push(inode);
      return false;
    },
  });
  t.same(asked, [statSync(path, { bigint: true }).ino]);
  t.match(file, { usable: false, writable: false });
  await file.close();
});

t.test('names that no file can have', async (t) => {
  for (const name of ['', 'a\0b', '/'.padEnd(5000, 'x'), '/proc/self/fd/9999']) {
    t.equal(
      await errnoOf(BackingFile.open(name, { readOnly: false })),
      'EBADF',
      JSON.stringify(name.slice(0, 20)),
    );
  }
});

/** A block device of 3 MiB, by the kernel's own loop driver; undefined where there is none. */
function blockDevice(image: string): string | undefined {
  try {
    makeSparseFile(image, 3 * MIB);
    return execFileSync('losetup', ['-f', '--show', image], { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  } catch {
    return undefined;
  }
}

const dir = new TempDir();
const disk = blockDevice(dir.file('image'));
t.teardown(() => {
  if (disk !== undefined) execFileSync('losetup', ['-d', disk]);
  dir[Symbol.dispose]();
});

const skip = disk === undefined && 'no block device can be made here';

t.test('a block device has its size from the driver', { skip }, async (t) => {
  const file = await BackingFile.open(disk ?? '', { readOnly: false });
  t.match(file, { usable: true, writable: true, identity: { kind: 'block' } });
  t.equal(await file.size(), BigInt(3 * MIB));
  await file.sync();
  await file.setDirect(true);
  await file.setDirect(false);
  await file.close();
});
