import { constants, readdirSync, readFileSync, statSync } from 'node:fs';
import t from 'tap';
import { BackingFile } from '../../../driver/io/backing-file.js';
import { lockForWriting } from '../../../driver/io/file-lock.js';
import { OpenFile } from '../../helpers/file-systems.js';
import { refusal } from '../../helpers/refusal.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';

// To name the holder of a lock, every process of the machine is looked at.
t.setTimeout(110_000);

/** Locks of a descriptor's own description, as the kernel tells: first and last byte. */
const locksOf = (fd: number): string[] =>
  [
    ...readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').matchAll(
      /^lock:.* OFDLCK +ADVISORY +WRITE .* (\d+ \d+)$/gm,
    ),
  ].map(([, range]) => range ?? '');
const FIRST = 0x6e62646c6f6f70n;
const byte = (n: bigint): string[] => [`${FIRST + n} ${FIRST + n}`];

/** What another daemon hears that wants to write the file. Another identity makes it one. */
async function another(path: string): Promise<string> {
  using open = OpenFile.open(path);
  const lock = { path, device: 1n, inode: 2n };
  return refusal(lockForWriting(open.fd, lock).then(({ release }) => release()));
}

t.test('the descriptors that do the I/O are those that hold locks, and all of them do', async (t) => {
  using directory = new TempDir();
  const path = makeSparseFile(directory.file('disk'), 4096);
  const open = (): Promise<BackingFile> => BackingFile.open(path, { readOnly: false });
  const [first, second, third] = [await open(), await open(), await open()];
  t.strictSame(
    [first, second, third].map(({ fd }) => locksOf(fd)),
    [byte(0n), byte(1n), byte(2n)],
  );
  await first.close();
  t.equal(await another(path), 'EBUSY', 'what keeps others away outlives the device that was the first');
  const fourth = await open();
  t.strictSame(locksOf(fourth.fd), byte(3n));
  await second.close();
  const fifth = await open();
  t.strictSame(locksOf(fifth.fd), byte(1n), 'a byte that was given back is taken again');
  for (const file of [third, fourth]) await file.close();
  t.equal(await another(path), 'EBUSY');
  await fifth.close();
  t.equal(await another(path), 'success');
});

t.test(
  'a file that is opened anew keeps its place, its lock and its flags, and leaves nothing',
  async (t) => {
    using directory = new TempDir();
    const path = makeSparseFile(directory.file('disk'), 4096);
    const open = (): Promise<BackingFile> => BackingFile.open(path, { readOnly: false });
    const count = (): number => readdirSync('/proc/self/fd').length;
    const [first, second] = [await open(), await open()];
    await second.setDirect(true);
    const before = count();
    const flagsOf = ({ fd }: BackingFile): string =>
      /^flags:.*$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[0] ?? '';
    const flags = [first, second].map(flagsOf);
    for (const file of [first, second, second]) {
      const renewal = await file.renewal();
      t.equal(await another(path), 'EBUSY');
      await renewal.take();
      await renewal.drop();
      t.equal(await another(path), 'EBUSY');
    }
    t.strictSame([first, second].map(flagsOf), flags);
    t.strictSame([locksOf(first.fd), locksOf(second.fd)], [byte(0n), byte(1n)]);
    t.equal(count(), before);
    await first.close();
    const renewal = await second.renewal();
    await renewal.take();
    await renewal.drop();
    t.strictSame(locksOf(second.fd), [`${FIRST} ${FIRST + 1n}`], 'what the first has left comes along');
    t.ok(await second.hasLock());
    await second.close();
    t.equal(await another(path), 'success');
    t.equal(count(), before - 3);
  },
);

t.test('direct I/O of one device that shares a file is not the other one\u2019s', async (t) => {
  using directory = new TempDir();
  const path = makeSparseFile(directory.file('disk'), 4096);
  const one = await BackingFile.open(path, { readOnly: false });
  const other = await BackingFile.open(path, { readOnly: false });
  const isDirect = ({ fd }: BackingFile): boolean =>
    (Number.parseInt(
      /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '',
      8,
    ) &
      constants.O_DIRECT) !==
    0;
  await one.setDirect(true);
  t.strictSame([isDirect(one), isDirect(other)], [true, false]);
  t.strictSame([locksOf(one.fd), locksOf(other.fd)], [byte(0n), byte(1n)]);
  await Promise.all([one.close(), other.close()]);
});

t.test('a file that is only read is not locked', async (t) => {
  using directory = new TempDir();
  const path = makeSparseFile(directory.file('disk'), 4096);
  const file = await BackingFile.open(path, { readOnly: true });
  t.strictSame(locksOf(file.fd), []);
  t.equal(await another(path), 'success');
  await file.close();
});

t.test('a release is one, however often it is asked for', async (t) => {
  using directory = new TempDir();
  const path = makeSparseFile(directory.file('disk'), 4096);
  const { dev: device, ino: inode } = statSync(path, { bigint: true });
  const locks = [];
  {
    using first = OpenFile.open(path);
    using second = OpenFile.open(path);
    for (const { fd } of [first, second]) locks.push(await lockForWriting(fd, { path, device, inode }));
    await locks[0]?.release();
    await locks[0]?.release();
  }
  t.equal(await another(path), 'EBUSY', 'still locked by the second');
  await locks[1]?.release();
  t.equal(await another(path), 'success');
});
