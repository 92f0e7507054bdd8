import { readFileSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { alignedMemory } from '../../../driver/io/aligned.js';
import { addressOf, errno, preadNoWait, spliceFromFile } from '../../../driver/io/file-calls.js';
import { closePipe, openPipe } from '../../../server/system/sockets.js';
import { memory, OpenFile } from '../../helpers/file-systems.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../../helpers/temp.js';

t.test('aligned memory starts on a page, and is what its bytes show', async (t) => {
  for (const length of [1, 4096, 100_000]) {
    const { bytes, address } = alignedMemory(length);
    t.equal(address % 4096, 0);
    t.equal(bytes.length, length);
    t.equal(addressOf(bytes), address);
  }
});

t.test('a read that may not wait brings what is in memory, or says why not', async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('image'), 65_536);
  const content = readFileSync(path);
  using file = OpenFile.open(path);
  const { bytes, address } = memory(8192);
  const got = preadNoWait(file.fd, address, 8192, 4096);
  const why = errno();
  if (got < 0) t.ok(why === constants.errno.EAGAIN || why === constants.errno.EOPNOTSUPP, `errno ${why}`);
  else t.ok(bytes.subarray(0, got).equals(content.subarray(4096, 4096 + got)));
  // errno is asked for at once: an assertion may make system calls of its own.
  const refused = preadNoWait(-1, address, 8192, 0);
  const reason = errno();
  t.strictSame([refused, reason], [-1, constants.errno.EBADF]);
});

t.test('positions beyond 32 bits are exact', async (t) => {
  using dir = new TempDir();
  const far = 2 ** 33 + 12_345;
  const path = makeSparseFile(dir.file('image'), far + 4096);
  using file = OpenFile.open(path);
  writeSync(file.fd, 'far away', far);
  const pipe = openPipe(65_536);
  if (pipe === undefined) throw new Error('no pipe');
  t.teardown(() => closePipe(pipe));
  t.equal(spliceFromFile(file.fd, far, pipe.writeEnd, 8), 8);
  const bytes = Buffer.alloc(8);
  readSync(pipe.readEnd, bytes, 0, 8, null);
  t.equal(bytes.toString(), 'far away');
});
