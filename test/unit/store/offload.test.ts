import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, truncateSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import t from 'tap';
import { alignedMemory } from '../../../driver/io/aligned.js';
import { Offload } from '../../../driver/store/offload.js';
import { memory, OpenFile, openDirect } from '../../helpers/file-systems.js';
import { complete, isReady, skipWithoutUring } from '../../helpers/rings.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../../helpers/temp.js';

const { EBADF, EFBIG, EINVAL, EISDIR, ENOSPC } = constants.errno;
const MIB = 1 << 20;
const BLOCK = 4096;

const skip = skipWithoutUring();

/** What one thread has under way, closed at the end of its scope. */
class Bench implements Disposable {
  readonly offload: Offload;
  constructor() {
    const offload = Offload.open();
    if (offload === undefined) throw new Error('no ring');
    this.offload = offload;
  }
  [Symbol.dispose](): void {
    this.offload.close();
  }
}

/** Waits until the kernel is done with one operation, which is not reaped. */
function await1(offload: Offload): void {
  if (!offload.submit() || !isReady(offload.fd, 30_000)) throw new Error('it did not end');
}

const libc = koffi.load('libc.so.6');
const prlimit = libc.func('int prlimit(int pid, int resource, uint64_t *limits, void *former)');
const getrlimit = libc.func('int getrlimit(int resource, _Out_ uint64_t *limits)');
const RLIMIT_FSIZE = 1;
// What comes with EFBIG, and would end the process; it is told in a later turn of the event loop.
process.on('SIGXFSZ', () => {});

/** The most bytes that a file of this process may have; disposing restores the former limit. */
class FileSizeLimit implements Disposable {
  readonly #former = new BigUint64Array(2);
  constructor(bytes: number) {
    getrlimit(RLIMIT_FSIZE, this.#former);
    prlimit(0, RLIMIT_FSIZE, new BigUint64Array([BigInt(bytes), this.#former[1] ?? 0n]), null);
  }
  [Symbol.dispose](): void {
    prlimit(0, RLIMIT_FSIZE, this.#former, null);
  }
}

t.test('what is started is done, and told by its token', { skip }, async (t) => {
  using dir = new TempDir();
  using bench = new Bench();
  const { offload } = bench;
  const path = makeRandomFile(dir.file('image'), MIB);
  const content = readFileSync(path);
  using file = OpenFile.open(path);
  const { fd } = file;
  const into = memory(10_000);
  const from = memory(5000);
  from.bytes.set(randomBytes(5000));
  offload.read(0, { fd, position: 777, length: 10_000 }, into.address, 1);
  offload.write(255, { fd, position: 500_000, length: 5000 }, from.address, 1);
  offload.flush(7, fd);
  t.strictSame(
    [...complete(offload, 3)].sort(([a], [b]) => a - b),
    [0, 7, 255].map((token) => [token, 0]),
  );
  t.ok(into.bytes.equals(content.subarray(777, 10_777)));
  from.bytes.copy(content, 500_000);
  t.ok(readFileSync(path).equals(content));
});

t.test('as many under way as its limit says, and again with the same tokens', { skip }, async (t) => {
  using dir = new TempDir();
  using bench = new Bench();
  const { offload } = bench;
  const path = makeRandomFile(dir.file('image'), 4 * MIB);
  const content = readFileSync(path);
  using file = OpenFile.open(path);
  const { limit } = offload;
  t.ok(limit >= 64, 'more than a connection may have', { limit });
  const { bytes, address } = memory(limit * BLOCK);
  for (let round = 0; round < 10; round++) {
    for (let token = 0; token < limit; token++) {
      const position = ((token * 31 + round) * BLOCK) % (4 * MIB);
      const range = { fd: file.fd, position, length: BLOCK };
      if ((token + round) % 2 === 0) {
        offload.read(token, range, address + token * BLOCK, 1);
      } else {
        content.copy(bytes, token * BLOCK, position, position + BLOCK);
        offload.write(token, range, address + token * BLOCK, 1);
      }
    }
    const results = complete(offload, limit);
    t.ok(
      [...results.values()].every((errno) => errno === 0),
      `round ${round}`,
    );
    for (let token = 0; token < limit; token++) {
      const position = ((token * 31 + round) * BLOCK) % (4 * MIB);
      const got = bytes.subarray(token * BLOCK, (token + 1) * BLOCK);
      if (!got.equals(content.subarray(position, position + BLOCK))) t.fail(`round ${round}, token ${token}`);
    }
  }
  t.ok(readFileSync(path).equals(content));
});

t.test(
  'past the end of a file that shrank there are zeroes, and nothing else is touched',
  { skip },
  async (t) => {
    using dir = new TempDir();
    using bench = new Bench();
    const { offload } = bench;
    const path = makeRandomFile(dir.file('image'), 20_000);
    const content = readFileSync(path);
    using file = OpenFile.open(path);
    const { bytes, address } = memory(20_000);
    for (const left of [19_999, 5000, 4096, 1, 0]) {
      truncateSync(path, left);
      content.fill(0, left);
      bytes.fill(0xaa);
      offload.read(0, { fd: file.fd, position: 0, length: 12_000 }, address, 1);
      offload.read(1, { fd: file.fd, position: 12_000, length: 7000 }, address + 12_000, 1);
      t.strictSame([...complete(offload, 2).values()], [0, 0]);
      t.ok(bytes.subarray(0, 19_000).equals(content.subarray(0, 19_000)), `${left} bytes left`);
      t.ok(bytes.subarray(19_000).equals(Buffer.alloc(1000, 0xaa)));
    }
  },
);

t.test('a read that came short goes on where it stopped', { skip }, async (t) => {
  using dir = new TempDir();
  using bench = new Bench();
  const { offload } = bench;
  const path = makeRandomFile(dir.file('image'), 5000);
  using file = OpenFile.open(path);
  const { bytes, address } = memory(8192);
  offload.read(3, { fd: file.fd, position: 0, length: 8192 }, address, 1);
  await1(offload); // with 5000 bytes
  appendFileSync(path, randomBytes(3192));
  t.strictSame([...complete(offload, 1)], [[3, 0]]);
  t.ok(bytes.equals(readFileSync(path)), 'with what the file has by then');
});

t.test('a write that came short goes on, and ends with what stops it for good', { skip }, async (t) => {
  using dir = new TempDir();
  using bench = new Bench();
  const { offload } = bench;
  const path = makeSparseFile(dir.file('image'), 0);
  using file = OpenFile.open(path);
  const { bytes, address } = memory(8192);
  bytes.set(randomBytes(8192));
  const range = { fd: file.fd, position: 0, length: 8192 };
  {
    using _ = new FileSizeLimit(6000);
    offload.write(1, range, address, 1);
    await1(offload); // 6000 bytes of it
    t.strictSame([...complete(offload, 1)], [[1, EFBIG]], 'the rest is tried, and fails');
  }
  t.ok(readFileSync(path).equals(bytes.subarray(0, 6000)));
  truncateSync(path, 0);
  {
    using _ = new FileSizeLimit(6000);
    offload.write(2, range, address, 1);
    await1(offload);
  }
  t.equal(readFileSync(path).length, 6000);
  t.strictSame([...complete(offload, 1)], [[2, 0]], 'when there is room again, it is finished');
  t.ok(readFileSync(path).equals(bytes));
});

t.test('an error is told by the token of its operation', { skip }, async (t) => {
  using dir = new TempDir();
  using bench = new Bench();
  const { offload } = bench;
  const path = makeRandomFile(dir.file('image'), BLOCK);
  using readable = OpenFile.open(path, 'r');
  using directory = OpenFile.open(dir.path, 'r');
  using full = OpenFile.open('/dev/full');
  const { address } = memory(BLOCK);
  const at = ({ fd }: { readonly fd: number }) => ({ fd, position: 0, length: BLOCK });
  offload.read(0, at({ fd: -1 }), address, 1);
  offload.write(1, at(readable), address, 1);
  offload.read(2, at(directory), address, 1);
  offload.write(3, at(full), address, 1);
  offload.flush(4, -1);
  offload.flush(5, full.fd);
  offload.read(6, at(readable), address, 1);
  const results = complete(offload, 7);
  t.strictSame(
    [0, 1, 2, 3, 4, 5, 6].map((token) => results.get(token)),
    [EBADF, EBADF, EISDIR, ENOSPC, EBADF, EINVAL, 0],
  );
});

t.test(
  'direct I/O: whole blocks, the last one of a file of any length, and zeroes behind it',
  { skip },
  async (t) => {
    using dir = new TempDir();
    using bench = new Bench();
    const { offload } = bench;
    const path = makeRandomFile(dir.file('image'), MIB);
    const fd = openDirect(path);
    if (fd === undefined) {
      t.skip('this file system has no direct I/O', () => {});
      return;
    }
    using file = new OpenFile(fd);
    const content = readFileSync(path);
    const { bytes, address } = alignedMemory(4 * BLOCK);
    const ask = (length: number, position: number) => ({ fd: file.fd, position, length });
    bytes.set(randomBytes(2 * BLOCK));
    offload.write(0, ask(2 * BLOCK, 8 * BLOCK), address, BLOCK);
    t.equal(complete(offload, 1).get(0), 0);
    content.set(bytes.subarray(0, 2 * BLOCK), 8 * BLOCK);
    t.ok(readFileSync(path).equals(content));
    for (const left of [MIB, 9 * BLOCK + 100, 9 * BLOCK, 8 * BLOCK + 1, 8 * BLOCK, 0]) {
      truncateSync(path, left);
      content.fill(0, left);
      bytes.fill(0xaa);
      offload.read(1, ask(3 * BLOCK, 8 * BLOCK), address, BLOCK);
      t.equal(complete(offload, 1).get(1), 0);
      t.ok(
        Buffer.from(bytes.subarray(0, 3 * BLOCK)).equals(content.subarray(8 * BLOCK, 11 * BLOCK)),
        `${left} bytes left`,
      );
      t.ok(bytes.subarray(3 * BLOCK).every((byte) => byte === 0xaa));
    }
  },
);

t.test('direct I/O that is not aligned is EINVAL and changes nothing', { skip }, async (t) => {
  using dir = new TempDir();
  using bench = new Bench();
  const { offload } = bench;
  const path = makeRandomFile(dir.file('image'), MIB);
  const fd = openDirect(path);
  if (fd === undefined) {
    t.skip('this file system has no direct I/O', () => {});
    return;
  }
  using file = new OpenFile(fd);
  const content = readFileSync(path);
  const { bytes, address } = alignedMemory(2 * BLOCK);
  bytes.fill(0xaa);
  for (const [token, position, length] of [
    [0, 1, BLOCK],
    [1, 0, BLOCK - 1],
  ] as const) {
    offload.write(token, { fd: file.fd, position, length }, address, BLOCK);
    offload.read(token + 2, { fd: file.fd, position, length }, address, BLOCK);
    const results = complete(offload, 2);
    t.equal(results.get(token), EINVAL);
    t.equal(results.get(token + 2), EINVAL);
  }
  t.ok(bytes.every((byte) => byte === 0xaa));
  t.ok(readFileSync(path).equals(content));
});
