import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readSync, statSync, truncateSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { FSYNC_DATASYNC, Uring, UringOp } from '../../../driver/io/uring.js';
import { memory, OpenFile } from '../../helpers/file-systems.js';
import { complete, isReady, skipWithoutUring } from '../../helpers/rings.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../../helpers/temp.js';

const { EBADF, EINVAL, EISDIR, ENOSPC } = constants.errno;
const { READ, WRITE, FSYNC } = UringOp;
const MIB = 1 << 20;
const GIB = 2 ** 30;

const skip = skipWithoutUring();

/** A ring that is closed at the end of its scope. */
class Ring implements Disposable {
  readonly uring: Uring;
  constructor(entries: number) {
    const uring = Uring.open(entries);
    if (uring === undefined) throw new Error('no ring');
    this.uring = uring;
  }
  [Symbol.dispose](): void {
    this.uring.close();
  }
}

t.test('what is read, written and flushed comes back with its token and its count', { skip }, async (t) => {
  using dir = new TempDir();
  using ring = new Ring(8);
  const { uring } = ring;
  const path = makeRandomFile(dir.file('image'), MIB);
  const content = readFileSync(path);
  using file = OpenFile.open(path);
  const into = memory(10_000);
  const from = memory(5000);
  from.bytes.set(randomBytes(5000));
  uring.prepare(READ, file.fd, 777, into.address, 10_000, 0, 5);
  uring.prepare(WRITE, file.fd, 500_000, from.address, 5000, 0, 2 ** 31 - 1);
  uring.prepare(FSYNC, file.fd, 0, 0, 0, FSYNC_DATASYNC, 0);
  t.strictSame(
    [...complete(uring, 3)].sort(([a], [b]) => a - b),
    [
      [0, 0],
      [5, 10_000],
      [2 ** 31 - 1, 5000],
    ],
  );
  t.ok(into.bytes.equals(content.subarray(777, 10_777)));
  from.bytes.copy(content, 500_000);
  t.ok(readFileSync(path).equals(content));
});

t.test('places beyond 4 GiB', { skip }, async (t) => {
  using dir = new TempDir();
  using ring = new Ring(4);
  const path = makeSparseFile(dir.file('image'), 6 * GIB);
  using file = OpenFile.open(path);
  const { bytes, address } = memory(4096);
  bytes.set(randomBytes(4096));
  const written = Buffer.from(bytes);
  const place = 4 * GIB + 12_345;
  ring.uring.prepare(WRITE, file.fd, place, address, 4096, 0, 1);
  t.equal(complete(ring.uring, 1).get(1), 4096);
  const there = Buffer.alloc(4096);
  readSync(file.fd, there, 0, 4096, place);
  t.ok(there.equals(written), 'there, and');
  readSync(file.fd, there, 0, 4096, 12_345);
  t.ok(there.equals(Buffer.alloc(4096)), 'not 4 GiB before');
  bytes.fill(0);
  ring.uring.prepare(READ, file.fd, place, address, 4096, 0, 1);
  t.equal(complete(ring.uring, 1).get(1), 4096);
  t.ok(bytes.equals(written));
});

t.test('at the end of the file there is less, and behind it nothing', { skip }, async (t) => {
  using dir = new TempDir();
  using ring = new Ring(4);
  const path = makeRandomFile(dir.file('image'), 5000);
  using file = OpenFile.open(path);
  const { bytes, address } = memory(3 * 4096);
  bytes.fill(0xaa);
  ring.uring.prepare(READ, file.fd, 4096, address, 4096, 0, 0);
  ring.uring.prepare(READ, file.fd, 5000, address + 4096, 4096, 0, 1);
  ring.uring.prepare(READ, file.fd, 2 ** 42, address + 8192, 4096, 0, 2);
  const results = complete(ring.uring, 3);
  t.strictSame([results.get(0), results.get(1), results.get(2)], [904, 0, 0]);
  t.ok(bytes.subarray(904).equals(Buffer.alloc(3 * 4096 - 904, 0xaa)), 'and nothing else is touched');
});

t.test('an error is the result of its operation, and of no other', { skip }, async (t) => {
  using dir = new TempDir();
  using ring = new Ring(16);
  const { uring } = ring;
  const path = makeRandomFile(dir.file('image'), 4096);
  using file = OpenFile.open(path);
  using readable = OpenFile.open(path, 'r');
  using directory = OpenFile.open(dir.path, 'r');
  using full = OpenFile.open('/dev/full');
  const { address } = memory(4096);
  const wanted = [-EBADF, -EBADF, 4096, -EISDIR, -ENOSPC, -EINVAL, -EBADF, 4096];
  uring.prepare(READ, -1, 0, address, 4096, 0, 0);
  uring.prepare(WRITE, readable.fd, 0, address, 4096, 0, 1);
  uring.prepare(READ, file.fd, 0, address, 4096, 0, 2);
  uring.prepare(READ, directory.fd, 0, address, 4096, 0, 3);
  uring.prepare(WRITE, full.fd, 0, address, 4096, 0, 4);
  uring.prepare(255, file.fd, 0, address, 4096, 0, 5);
  uring.prepare(FSYNC, -1, 0, 0, 0, FSYNC_DATASYNC, 6);
  uring.prepare(WRITE, file.fd, 0, address, 4096, 0, 7);
  const results = complete(uring, wanted.length);
  t.strictSame(
    wanted.map((_, token) => results.get(token)),
    wanted,
  );
});

t.test('as many under way as it has entries, round after round', { skip }, async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('image'), MIB);
  const content = readFileSync(path);
  using file = OpenFile.open(path);
  for (const entries of [1, 8, 256]) {
    using ring = new Ring(entries);
    t.equal(ring.uring.entries, entries);
    const { bytes, address } = memory(entries * 512);
    // The rings' indices go around several times, at places that are not always the same.
    for (let round = 0; round < 25; round++) {
      const count = round % 2 === 0 ? entries : Math.ceil(entries / 3);
      const places = Array.from(
        { length: count },
        (_, token) => (token * 7919 + round * 104_729) % (MIB - 512),
      );
      for (const [token, place] of places.entries()) {
        ring.uring.prepare(READ, file.fd, place, address + token * 512, 512, 0, token);
      }
      const results = complete(ring.uring, count);
      const wrong = places.filter(
        (place, token) =>
          results.get(token) !== 512 ||
          !bytes.subarray(token * 512, (token + 1) * 512).equals(content.subarray(place, place + 512)),
      );
      if (wrong.length > 0) t.fail(`${entries} entries, round ${round}`, { wrong });
    }
  }
});

t.test('its descriptor is readable while there is something to reap', { skip }, async (t) => {
  using dir = new TempDir();
  using ring = new Ring(4);
  const { uring } = ring;
  using file = OpenFile.open(makeRandomFile(dir.file('image'), 4096));
  const { address } = memory(4096);
  t.ok(uring.submit(), 'nothing is handed over at once');
  t.notOk(isReady(uring.fd, 0));
  uring.prepare(READ, file.fd, 0, address, 4096, 0, 3);
  t.notOk(isReady(uring.fd, 50), 'nothing begins before it is handed over');
  t.ok(uring.submit());
  t.ok(isReady(uring.fd, 30_000));
  t.ok(isReady(uring.fd, 0), 'until it is reaped');
  const told: number[][] = [];
  uring.reap((...completion) => told.push(completion));
  uring.reap((...completion) => told.push(completion));
  t.strictSame(told, [[3, 4096]]);
  t.notOk(isReady(uring.fd, 0));
});

t.test('an operation may be queued by what tells of another', { skip }, async (t) => {
  using dir = new TempDir();
  using ring = new Ring(1);
  const { uring } = ring;
  const path = makeRandomFile(dir.file('image'), 4096);
  using file = OpenFile.open(path);
  const { address } = memory(512);
  const told: number[] = [];
  uring.prepare(WRITE, file.fd, 8192, address, 512, 0, 0);
  while (told.length < 2) {
    uring.submit();
    isReady(uring.fd, 1000);
    uring.reap((token) => {
      told.push(token);
      if (token === 0) uring.prepare(FSYNC, file.fd, 0, 0, 0, FSYNC_DATASYNC, 1);
    });
  }
  t.strictSame(told, [0, 1]);
  t.equal(statSync(path).size, 8704);
  truncateSync(path, 0);
});

t.test('a ring that cannot be had is undefined, and leaves no descriptor', { skip }, async (t) => {
  const before = readdirSync('/proc/self/fd').length;
  for (const entries of [0, 2 ** 20]) t.equal(Uring.open(entries), undefined, `${entries} entries`);
  t.equal(readdirSync('/proc/self/fd').length, before);
});
