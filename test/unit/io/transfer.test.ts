import { randomBytes } from 'node:crypto';
import { readFileSync, readSync, truncateSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { readDirect, readFully, writeDirect, writeFully } from '../../../driver/io/transfer.js';
import { fileSystems, memory, OpenFile, openDirect } from '../../helpers/file-systems.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';

const { EBADF, EFBIG, EINVAL, ENOSPC } = constants.errno;
const MIB = 1 << 20;
const BLOCK = 4096;

for (const [name, directory] of fileSystems()) {
  t.test(`${name}: whole reads and writes at any place`, async (t) => {
    using dir = new TempDir(directory);
    const path = makeRandomFile(dir.file('image'), MIB);
    using file = OpenFile.open(path);
    const content = readFileSync(path);
    const { bytes, address } = memory(MIB);
    for (const [position, length] of [
      [0, 1],
      [4095, 2],
      [777, 100_000],
      [0, MIB],
    ] as const) {
      t.equal(readFully(file.fd, address, length, position), 0);
      t.ok(bytes.subarray(0, length).equals(content.subarray(position, position + length)));
      const written = randomBytes(length);
      bytes.set(written);
      t.equal(writeFully(file.fd, address, length, position), 0);
      content.set(written, position);
      t.ok(readFileSync(path).equals(content));
    }
  });

  t.test(
    `${name}: past the end of the file there are zeroes, and nothing beyond the length is touched`,
    async (t) => {
      using dir = new TempDir(directory);
      const path = makeRandomFile(dir.file('image'), 5000);
      using file = OpenFile.open(path);
      const { bytes, address } = memory(20_000);
      bytes.fill(0xaa);
      t.equal(readFully(file.fd, address, 10_000, 4000), 0);
      t.ok(bytes.subarray(0, 1000).equals(readFileSync(path).subarray(4000)));
      t.ok(bytes.subarray(1000, 10_000).equals(Buffer.alloc(9000)));
      t.ok(bytes.subarray(10_000).equals(Buffer.alloc(10_000, 0xaa)));
      truncateSync(path, 0);
      t.equal(readFully(file.fd, address, 5000, 2 ** 40), 0);
      t.ok(bytes.subarray(0, 5000).equals(Buffer.alloc(5000)));
    },
  );

  t.test(`${name}: direct I/O at aligned places, from memory of any alignment`, async (t) => {
    using dir = new TempDir(directory);
    const path = makeRandomFile(dir.file('image'), 3 * MIB);
    const fd = openDirect(path);
    if (fd === undefined) {
      t.skip('this file system has no direct I/O', () => {});
      return;
    }
    using file = new OpenFile(fd);
    const content = readFileSync(path);
    const { bytes, address } = memory(3 * MIB + 13);
    for (const [position, length] of [
      [0, BLOCK],
      [BLOCK, 2 * BLOCK],
      [0, 3 * MIB],
    ] as const) {
      t.equal(readDirect(file.fd, address + 13, length, position, BLOCK), 0);
      t.ok(bytes.subarray(13, 13 + length).equals(content.subarray(position, position + length)));
      const written = randomBytes(length);
      bytes.set(written, 13);
      t.equal(writeDirect(file.fd, address + 13, length, position, BLOCK), 0);
      content.set(written, position);
      t.ok(readFileSync(path).equals(content));
    }
    for (const [position, length] of [
      [1, BLOCK],
      [0, BLOCK - 1],
      [512, 512],
    ] as const) {
      t.equal(readDirect(file.fd, address, length, position, BLOCK), EINVAL);
      t.equal(writeDirect(file.fd, address, length, position, BLOCK), EINVAL);
    }
    t.ok(readFileSync(path).equals(content), 'what is refused changes nothing');
  });

  t.test(`${name}: direct I/O past the end of a file that shrank reads as zeroes`, async (t) => {
    using dir = new TempDir(directory);
    const path = makeRandomFile(dir.file('image'), 3 * MIB);
    const fd = openDirect(path);
    if (fd === undefined) {
      t.skip('this file system has no direct I/O', () => {});
      return;
    }
    using file = new OpenFile(fd);
    const content = readFileSync(path);
    const { bytes, address } = memory(3 * MIB);
    for (const left of [2 * MIB + 100, MIB + BLOCK, 10, 0]) {
      truncateSync(path, left);
      content.fill(0, left);
      bytes.fill(0xaa);
      t.equal(readDirect(file.fd, address, 3 * MIB, 0, BLOCK), 0);
      t.ok(bytes.equals(content), `${left} bytes left`);
    }
  });
}

t.test('an error ends a transfer and is its result', async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('image'), 8192);
  const { address } = memory(8192);
  using readable = OpenFile.open(path, 'r');
  t.equal(writeFully(readable.fd, address, 512, 0), EBADF, 'not open for writing');
  using writable = OpenFile.open(path, 'a');
  t.equal(readFully(writable.fd, address, 512, 0), EBADF, 'not open for reading');
  using directory = OpenFile.open(dir.path, 'r');
  t.equal(readFully(directory.fd, address, 512, 0), constants.errno.EISDIR);
  t.equal(readFully(-1, address, 512, 0), EBADF);
  using file = OpenFile.open(path);
  t.equal(writeFully(file.fd, address, 512, Number.MAX_SAFE_INTEGER - 512), EFBIG, 'larger than any file');
});

t.test('a direct read that brings less than was asked for is continued', async (t) => {
  // The kernel gives what it lists a page at a time, wherever it ends.
  const list = '/proc/kallsyms';
  using file = OpenFile.open(list, 'r');
  const { bytes, address } = memory(200_000);
  t.ok(readSync(file.fd, bytes) < bytes.length, 'it comes in parts');
  t.equal(readDirect(file.fd, address, bytes.length, 0, 1), 0);
  t.ok(bytes.equals(readFileSync(list).subarray(0, bytes.length)));
});

t.test('a full disk is ENOSPC', async (t) => {
  const { address } = memory(4096);
  using full = OpenFile.open('/dev/full');
  t.equal(writeFully(full.fd, address, 4096, 0), ENOSPC);
  t.equal(readFully(full.fd, address, 4096, 0), 0);
});
