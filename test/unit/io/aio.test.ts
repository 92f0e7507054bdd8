import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { Aio, AioOp } from '../../../driver/io/aio.js';
import { fileSystems, memory, OpenFile } from '../../helpers/file-systems.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';

const { EAGAIN, EBADF } = constants.errno;
const BLOCK = 4096;
const MIB = 1 << 20;
const ENTRIES = 8;

function open(): Aio & Disposable {
  const aio = Aio.open(ENTRIES);
  if (aio === undefined) throw new Error('the system gives no context');
  return Object.assign(aio, { [Symbol.dispose]: () => aio.close() });
}

for (const [name, directory] of fileSystems()) {
  t.test(`${name}: reads and writes of one run are carried out in order`, async (t) => {
    using dir = new TempDir(directory);
    const path = makeRandomFile(dir.file('image'), MIB);
    const before = readFileSync(path);
    using file = OpenFile.open(path);
    using aio = open();
    const from = memory(BLOCK);
    from.bytes.set(randomBytes(BLOCK));
    const to = memory(4 * BLOCK);
    for (let round = 0; round < 200; round++) {
      aio.add(AioOp.READ, file.fd, 5 * BLOCK, to.address, BLOCK, false);
      aio.add(AioOp.WRITE, file.fd, 5 * BLOCK, from.address, BLOCK, false);
      aio.add(AioOp.READ, file.fd, 5 * BLOCK, to.address + BLOCK, BLOCK, false);
      aio.add(AioOp.READ, file.fd, 777, to.address + 2 * BLOCK, 2 * BLOCK, false);
      if (!aio.run()) throw new Error(`round ${round}: not whole`);
    }
    t.ok(to.bytes.subarray(BLOCK, 2 * BLOCK).equals(from.bytes), 'a read behind a write');
    t.ok(to.bytes.subarray(2 * BLOCK).equals(before.subarray(777, 777 + 2 * BLOCK)), 'an odd position');
    t.ok(
      readFileSync(path)
        .subarray(5 * BLOCK, 6 * BLOCK)
        .equals(from.bytes),
      'in the file',
    );
    t.equal(aio.count, 0, 'nothing is left');
  });

  t.test(`${name}: a read over the end of the file says how much there was`, async (t) => {
    using dir = new TempDir(directory);
    using file = OpenFile.open(makeRandomFile(dir.file('image'), BLOCK + 100));
    using aio = open();
    const to = memory(3 * BLOCK);
    for (const index of [0, 1, 2]) {
      aio.add(AioOp.READ, file.fd, index * BLOCK, to.address + index * BLOCK, BLOCK, false);
    }
    t.notOk(aio.run());
    t.strictSame(
      [0, 1, 2].map((index) => aio.result(index)),
      [BLOCK, 100, 0],
    );
  });
}

t.test('one operation alone does the same', async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('image'), MIB);
  using file = OpenFile.open(path);
  using aio = open();
  const at = memory(BLOCK);
  aio.add(AioOp.READ, file.fd, BLOCK, at.address, BLOCK, false);
  t.ok(aio.run());
  t.ok(at.bytes.equals(readFileSync(path).subarray(BLOCK, 2 * BLOCK)));
  at.bytes.set(randomBytes(BLOCK));
  aio.add(AioOp.WRITE, file.fd, 0, at.address, BLOCK, false);
  t.ok(aio.run());
  t.ok(at.bytes.equals(readFileSync(path).subarray(0, BLOCK)));
  aio.add(AioOp.READ, file.fd, 2 * MIB, at.address, BLOCK, false);
  t.notOk(aio.run());
  t.equal(aio.result(0), 0);
});

t.test('an operation that is refused ends the run, and what is behind it was not tried', async (t) => {
  using dir = new TempDir();
  using file = OpenFile.open(makeRandomFile(dir.file('image'), MIB));
  using aio = open();
  const to = memory(3 * BLOCK);
  for (const [index, fd] of [file.fd, -1, file.fd].entries()) {
    aio.add(AioOp.READ, fd, 0, to.address + index * BLOCK, BLOCK, false);
  }
  t.notOk(aio.run());
  t.equal(aio.result(0), BLOCK);
  t.equal(aio.result(1), -EAGAIN);
  t.equal(aio.result(2), -EAGAIN);
  t.ok(to.bytes.subarray(BLOCK).equals(Buffer.alloc(2 * BLOCK)), 'their memory is as it was');
  aio.add(AioOp.READ, -1, 0, to.address, BLOCK, false);
  t.notOk(aio.run());
  t.equal(aio.result(0), -EBADF, 'alone it has its own error');
  aio.add(AioOp.READ, file.fd, 0, to.address, BLOCK, false);
  aio.add(AioOp.READ, file.fd, 0, to.address, BLOCK, false);
  t.ok(aio.run(), 'the next run is not touched');
});

t.test('contexts are given back', async (t) => {
  // The kernel maps the ring of each; the machine's sum of them (fs.aio-nr) has those of others, too.
  const used = () => readFileSync('/proc/self/maps', 'utf8').match(/\/\[aio\]/g)?.length ?? 0;
  const before = used();
  const contexts = Array.from({ length: 10 }, open);
  t.equal(used(), before + 10);
  for (const context of contexts) context.close();
  t.equal(used(), before);
});
