import { randomBytes } from 'node:crypto';
import { openSync, readFileSync, readSync, truncateSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { LockOrder } from '../../../driver/locks/lock-order.js';
import { LoopBackend, openDataPath } from '../../../driver/queue/queue-rq.js';
import { RequestQueue } from '../../../driver/queue/request-queue.js';
import { DeviceState, LATENCY_BUCKETS, LaneNum, LoFlag, laneNum } from '../../../driver/queue/slots.js';
import { closePipe, openPipe } from '../../../server/system/sockets.js';
import { memory, OpenFile, openDirect } from '../../helpers/file-systems.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';

const { EAGAIN, EBADF, EINVAL, EIO, ENOSPC, ENOTSUP, EPERM } = constants.errno;
const MIB = 1 << 20;
const LANE = 3;

interface State {
  readonly state?: number;
  readonly fd: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly size?: number;
}

/** A queue and its data side on one lane. */
class Bench {
  readonly queue = new RequestQueue({ order: new LockOrder(), name: 'loop0', onThaw: () => {} });
  readonly backend = new LoopBackend(this.queue.shared, LANE);
  readonly #nums = new Float64Array(this.queue.shared);
  #generation = 0;

  async publish(state: State): Promise<void> {
    const { fd, flags = LoFlag.TELLS_HOLES, offset = 0, size = MIB } = state;
    await using frozen = await this.queue.freeze();
    const generation = ++this.#generation;
    frozen.publish({
      state: state.state ?? DeviceState.BOUND,
      fd,
      flags,
      blockSize: 512,
      dioAlignment: 4096,
      offset,
      size,
      generation,
    });
  }

  count(counter: number): number {
    return this.#nums[laneNum(LANE) + counter] ?? Number.NaN;
  }
}

/** A queue bound to a new file of 1 MiB, and its content. */
async function bound(dir: TempDir, about: Partial<State> = {}) {
  const path = makeRandomFile(dir.file('image'), MIB);
  const file = OpenFile.open(path);
  const bench = new Bench();
  await bench.publish({ fd: file.fd, ...about });
  bench.backend.enter();
  return { bench, backend: bench.backend, file, path, content: readFileSync(path) };
}

t.test('a request is counted in and out, and a freeze waits for it', async (t) => {
  const bench = new Bench();
  t.ok(bench.backend.enter());
  t.ok(bench.backend.enter());
  t.equal(bench.queue.inFlight, 2);
  let isFrozen = false;
  const freeze = bench.queue.freeze().then((frozen) => {
    isFrozen = true;
    return frozen;
  });
  t.notOk(bench.backend.enter(), 'nobody enters any more');
  t.equal(bench.count(LaneNum.PARKED), 1);
  bench.backend.exit();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.notOk(isFrozen, 'one is still in');
  bench.backend.exit();
  const frozen = await freeze;
  t.notOk(bench.backend.enter());
  frozen.thaw();
  t.ok(bench.backend.enter(), 'after the thaw they enter again');
  bench.backend.exit();
  t.equal(bench.queue.inFlight, 0);
});

t.test('what is not bound is EIO before all else', async (t) => {
  const bench = new Bench();
  const { backend } = bench;
  backend.enter();
  for (const access of ['read', 'write'] as const) {
    t.equal(backend.admit(access, 0, 512), EIO);
    t.equal(backend.admit(access, 2 ** 60, 512), EIO);
  }
  t.equal(backend.flush(), EIO);
  t.equal(bench.count(LaneNum.ERRORS), 5, 'each is counted');
});

t.test('a range past the present size is refused, as what it is', async (t) => {
  using dir = new TempDir();
  const { backend, file } = await bound(dir, { size: 10_000 });
  using _ = file;
  t.equal(backend.admit('read', 0, 10_000), 0);
  t.equal(backend.admit('write', 9999, 1), 0);
  t.equal(backend.admit('read', 0, 10_001), EINVAL);
  t.equal(backend.admit('write', 0, 10_001), ENOSPC);
  t.equal(backend.admit('read', 2 ** 64, 512), EINVAL);
});

t.test('a read-only device is EPERM to writers, also past its end', async (t) => {
  using dir = new TempDir();
  const { backend, file } = await bound(dir, { flags: LoFlag.READ_ONLY });
  using _ = file;
  t.equal(backend.admit('read', 0, 512), 0);
  t.equal(backend.admit('write', 0, 512), EPERM);
  t.equal(backend.admit('write', 2 * MIB, 512), EPERM);
});

t.test('the device starts at its offset in the file, for every operation', async (t) => {
  using dir = new TempDir();
  const { backend, file, path, content } = await bound(dir, { offset: 65_536, size: MIB - 65_536 });
  using _ = file;
  const { bytes, address } = memory(8192);
  t.equal(backend.read(address, 100, 8192), 0);
  t.ok(bytes.equals(content.subarray(65_636, 65_636 + 8192)));
  bytes.set(randomBytes(8192));
  t.equal(backend.write(address, 0, 8192), 0);
  t.equal(backend.trim(16_384, 8192), 0);
  t.equal(backend.writeZeroes(32_768, 8192, { punch: false, fast: false }), 0);
  t.equal(backend.cache(0, 8192), 0);
  t.equal(backend.flush(), 0);
  content.set(bytes, 65_536);
  content.fill(0, 65_536 + 16_384, 65_536 + 24_576);
  content.fill(0, 65_536 + 32_768, 65_536 + 40_960);
  t.ok(readFileSync(path).equals(content));
  t.equal(backend.extent(16_384, 8192), -8192, 'what was trimmed is a hole');
  t.ok(backend.isData(0, 8192));
  t.notOk(backend.isData(16_384, 8192));
});

t.test('what one thread punches or zeroes, another that found data there sees at once', async (t) => {
  using dir = new TempDir();
  const { bench, backend, file } = await bound(dir);
  using _ = file;
  const other = openDataPath(7).attach(bench.queue.shared);
  const runAt = (offset: number): number => other.extent(offset, MIB - offset);
  t.equal(runAt(0), MIB);
  backend.trim(65_536, 65_536);
  t.strictSame([runAt(0), runAt(65_536)], [65_536, -65_536]);
  t.equal(runAt(131_072), MIB - 131_072);
  backend.writeZeroes(131_072, 65_536, { punch: true, fast: false });
  t.equal(runAt(131_072), -65_536);
});

t.test('requests and bytes are counted by kind', async (t) => {
  using dir = new TempDir();
  const { bench, backend, file } = await bound(dir);
  using _ = file;
  const { address } = memory(8192);
  backend.read(address, 0, 8192);
  backend.write(address, 0, 4096);
  backend.write(address, 0, 4096);
  backend.flush();
  backend.trim(0, 4096);
  backend.writeZeroes(0, 4096, { punch: true, fast: false });
  backend.cache(0, 4096);
  const { READS, READ_BYTES, WRITES, WRITTEN_BYTES, FLUSHES, TRIMS, WRITE_ZEROES, CACHES, ERRORS } = LaneNum;
  t.strictSame(
    [READS, READ_BYTES, WRITES, WRITTEN_BYTES, FLUSHES, TRIMS, WRITE_ZEROES, CACHES, ERRORS].map((counter) =>
      bench.count(counter),
    ),
    [1, 8192, 2, 8192, 1, 1, 1, 1, 0],
  );
});

t.test('an error of the file is the result, and is counted', async (t) => {
  using dir = new TempDir();
  const bench = new Bench();
  using file = OpenFile.open(makeRandomFile(dir.file('image'), MIB), 'r');
  await bench.publish({ fd: file.fd });
  const { backend } = bench;
  const { address } = memory(4096);
  backend.enter();
  t.equal(backend.write(address, 0, 4096), EBADF);
  t.equal(backend.trim(0, 4096), EBADF);
  t.equal(backend.writeZeroes(0, 4096, { punch: true, fast: false }), EBADF);
  t.equal(bench.count(LaneNum.ERRORS), 3);
  t.equal(bench.count(LaneNum.WRITTEN_BYTES), 0);
});

t.test('a range goes into a pipe, as far as the file has it', async (t) => {
  using dir = new TempDir();
  const { bench, backend, file, path, content } = await bound(dir);
  using _ = file;
  const taken = Buffer.alloc(300_000);
  for (const [offset, length, left] of [
    [0, 65_536, MIB],
    [777, 200_000, MIB],
    [0, 200_000, 100_000],
    [0, 200_000, 0],
  ] as const) {
    const pipe = openPipe(MIB);
    if (pipe === undefined) throw new Error('no pipe');
    truncateSync(path, left);
    const moved = backend.fillPipe(pipe.writeEnd, offset, length);
    t.equal(moved, Math.max(0, Math.min(length, left - offset)));
    let got = 0;
    while (got < moved) got += readSync(pipe.readEnd, taken, got, moved - got, null);
    t.ok(taken.subarray(0, moved).equals(content.subarray(offset, offset + moved)));
    closePipe(pipe);
  }
  t.equal(bench.count(LaneNum.READS), 4);
});

t.test('a pipe that is too small is ENOTSUP, so that the read is a copy', async (t) => {
  using dir = new TempDir();
  const { backend, file } = await bound(dir);
  using _ = file;
  const pipe = openPipe(65_536);
  if (pipe === undefined) throw new Error('no pipe');
  t.equal(backend.fillPipe(pipe.writeEnd, 0, MIB), -ENOTSUP);
  closePipe(pipe);
});

t.test('what a pipe holds is written, counted, and marked as changed', async (t) => {
  using dir = new TempDir();
  const { bench, backend, file, path, content } = await bound(dir, { offset: 4096, size: MIB - 4096 });
  using _ = file;
  const data = randomBytes(60_000);
  const pipe = openPipe(MIB);
  if (pipe === undefined) throw new Error('no pipe');
  writeSync(pipe.writeEnd, data);
  t.ok(backend.canWriteFromPipe());
  t.equal(backend.writeFromPipe(pipe.readEnd, 65_536, 50_000), 0);
  t.equal(backend.writeFromPipe(pipe.readEnd, 777, 10_000), 0);
  data.copy(content, 4096 + 65_536, 0, 50_000);
  data.copy(content, 4096 + 777, 50_000);
  t.ok(readFileSync(path).equals(content));
  t.strictSame([bench.count(LaneNum.WRITES), bench.count(LaneNum.WRITTEN_BYTES)], [2, 60_000]);
  t.equal(backend.dirty(65_536, 50_000), 50_000);
  closePipe(pipe);
});

t.test('a file that takes no pipe, and one that takes nothing', async (t) => {
  const bench = new Bench();
  const { backend } = bench;
  const pipe = openPipe(MIB);
  if (pipe === undefined) throw new Error('no pipe');
  writeSync(pipe.writeEnd, randomBytes(8192));
  using full = new OpenFile(openSync('/dev/full', 'r+'));
  await bench.publish({ fd: full.fd });
  backend.enter();
  t.equal(backend.writeFromPipe(pipe.readEnd, 0, 4096), ENOTSUP);
  t.notOk(backend.canWriteFromPipe(), 'that was learned');
  backend.exit();
  using readOnly = new OpenFile(openSync('/dev/null', 'r'));
  await bench.publish({ fd: readOnly.fd });
  backend.enter();
  t.ok(backend.canWriteFromPipe(), 'of that file');
  t.equal(backend.writeFromPipe(pipe.readEnd, 0, 4096), EBADF);
  t.equal(bench.count(LaneNum.ERRORS), 1);
  t.equal(readSync(pipe.readEnd, Buffer.alloc(9000)), 8192, 'the pipe still has all of it');
  backend.exit();
  closePipe(pipe);
});

t.test('with direct I/O reads and writes are aligned or EINVAL, and no pipe is filled', async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('image'), MIB);
  const fd = openDirect(path);
  if (fd === undefined) {
    t.skip('this file system has no direct I/O', () => {});
    return;
  }
  using file = new OpenFile(fd);
  const bench = new Bench();
  await bench.publish({ fd: file.fd, flags: LoFlag.DIRECT_IO });
  const { backend } = bench;
  const { bytes, address } = memory(8192 + 1);
  backend.enter();
  t.equal(backend.read(address + 1, 4096, 8192), 0, 'memory of any alignment');
  t.ok(bytes.subarray(1).equals(readFileSync(path).subarray(4096, 12_288)));
  t.equal(backend.write(address + 1, 0, 8192), 0);
  t.ok(bytes.subarray(1).equals(readFileSync(path).subarray(0, 8192)));
  t.equal(backend.read(address, 512, 512), EINVAL);
  t.equal(backend.fillPipe(-1, 0, 65_536), -ENOTSUP);
  t.notOk(backend.canWriteFromPipe());
  t.equal(backend.writeFromPipe(-1, 0, 65_536), ENOTSUP);
});

t.test('what was learned of one file is forgotten with it', async (t) => {
  using dir = new TempDir();
  const bench = new Bench();
  const { backend } = bench;
  using nothing = OpenFile.open('/dev/null');
  await bench.publish({ fd: nothing.fd });
  backend.enter();
  const fast = { punch: true, fast: true };
  t.not(backend.writeZeroes(0, 4096, fast), 0, 'a device without holes');
  backend.exit();
  const path = makeRandomFile(dir.file('image'), MIB);
  using file = OpenFile.open(path);
  await bench.publish({ fd: file.fd });
  backend.enter();
  t.equal(backend.writeZeroes(0, 4096, fast), 0, 'a file with them');
  t.ok(readFileSync(path).subarray(0, 4096).equals(Buffer.alloc(4096)));
});

t.test('every lane is counted by itself, and a freeze waits for all', async (t) => {
  const bench = new Bench();
  const lanes = [0, 7, 16].map((lane) => openDataPath(lane).attach(bench.queue.shared));
  for (const backend of lanes) t.ok(backend.enter());
  t.equal(bench.queue.inFlight, 3);
  const freeze = bench.queue.freeze();
  for (const backend of lanes) backend.exit();
  (await freeze).thaw();
  t.equal(bench.queue.inFlight, 0);
});

t.test('latencies are counted by powers of two of a microsecond', async (t) => {
  const bench = new Bench();
  for (const [requests, microseconds] of [
    [1, 0.4],
    [2, 1],
    [3, 3.9],
    [4, 4],
    [5, 1e12],
  ] as const) {
    bench.backend.observe(requests, microseconds);
  }
  const buckets = Array.from({ length: LATENCY_BUCKETS }, (_, bucket) =>
    bench.count(LaneNum.LATENCY + bucket),
  );
  t.strictSame(buckets.slice(0, 4), [1, 2, 3, 4]);
  t.equal(buckets.at(-1), 5);
  t.equal(
    buckets.reduce((sum, count) => sum + count, 0),
    15,
  );
});

t.test('a batch reads and writes the file as single calls do', async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('image'), MIB);
  using file = OpenFile.open(path);
  const before = readFileSync(path);
  const queue = new RequestQueue({ order: new LockOrder(), name: 'loop0', onThaw: () => {} });
  const backend = openDataPath(LANE).attach(queue.shared);
  {
    await using frozen = await queue.freeze();
    const about = { state: DeviceState.BOUND, flags: 0, blockSize: 512, dioAlignment: 4096 };
    frozen.publish({ ...about, fd: file.fd, offset: 4096, size: MIB - 4096, generation: 1 });
  }
  const at = memory(4 * 4096);
  t.ok(backend.enter());
  t.equal(backend.readNow(at.address, 0, 4096), 0, 'what the file system can do is learned first');
  const payload = randomBytes(4096);
  at.bytes.set(payload, 3 * 4096);
  t.ok(backend.batchRead(at.address, 0, 4096));
  t.ok(backend.batchWrite(at.address + 3 * 4096, 8192, 4096));
  t.ok(backend.batchRead(at.address + 4096, 8192, 4096));
  t.ok(backend.runBatch());
  t.ok(at.bytes.subarray(0, 4096).equals(before.subarray(4096, 8192)), 'at the offset of the device');
  t.ok(at.bytes.subarray(4096, 8192).equals(payload), 'behind the write');
  t.equal(backend.dirty(8192, 4096), 4096);
  truncateSync(path, 8192 + 100);
  t.ok(backend.batchRead(at.address, 0, 4096));
  t.ok(backend.batchRead(at.address + 4096, 4096, 4096));
  t.ok(backend.batchRead(at.address + 8192, 8192, 4096));
  t.notOk(backend.runBatch());
  t.equal(backend.batchResult(0), 0);
  for (const index of [1, 2]) {
    const errno = backend.batchResult(index);
    // Where reads can be told not to wait, a short one is for `startRead`, which fills up.
    if (errno === EAGAIN) backend.read(at.address + index * 4096, index * 4096, 4096);
    else t.equal(errno, 0);
  }
  t.ok(at.bytes.subarray(4096 + 100, 3 * 4096).equals(Buffer.alloc(8192 - 100)), 'zeroes past the end');
  backend.exit();
  t.equal(queue.inFlight, 0);
});

t.test('no part of a batch is direct', async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('image'), MIB);
  using file = OpenFile.open(path);
  const queue = new RequestQueue({ order: new LockOrder(), name: 'loop0', onThaw: () => {} });
  const backend = openDataPath(LANE).attach(queue.shared);
  {
    await using frozen = await queue.freeze();
    const about = { state: DeviceState.BOUND, flags: LoFlag.DIRECT_IO, blockSize: 512, dioAlignment: 4096 };
    frozen.publish({ ...about, fd: file.fd, offset: 0, size: MIB, generation: 1 });
  }
  const at = memory(4096);
  backend.enter();
  t.notOk(backend.batchRead(at.address, 0, 4096));
  t.notOk(backend.batchWrite(at.address, 0, 4096));
  backend.exit();
});
