import { openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { BITMAP_OFFSET } from '../../../driver/store/delta/header.js';
import { errnoOf, MIB } from '../../helpers/loop-bench.js';
import { writeParts } from '../../helpers/overlay-writers.js';
import { OverlayBench } from '../../helpers/overlays.js';
import { Random } from '../../helpers/random.js';

const BLOCK = 4096;

t.test(
  'whatever is written, trimmed and zeroed from two threads, it reads as a disk would; the base stays',
  async (t) => {
    const { seed } = Random.fromEnvironment('OVERLAY_SEED');
    t.comment(`OVERLAY_SEED=${seed}`);
    for (const blockSize of [4096, 65_536]) {
      await using bench = await OverlayBench.start({ seed, blockSize });
      const before = bench.baseContent();
      bench.steps(600);
      bench.check();
      t.ok(bench.baseContent().equals(before));
      await bench.rebind({ file: bench.base, overlay: { delta: bench.delta } });
      bench.check();
      bench.steps(100);
      bench.check();
      await bench.rebind({ file: bench.base, overlay: { delta: bench.delta }, offset: MIB, readOnly: true });
      bench.model = bench.model.subarray(MIB);
      bench.check();
      t.pass(`blocks of ${blockSize}`);
    }
  },
);

t.test('deltas over deltas: sixteen, of blocks of any size', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  let below = bench.delta;
  for (let depth = 2; depth <= 16; depth++) {
    bench.steps(25);
    const delta = bench.dir.file(`layer${depth}`);
    await bench.rebind({
      file: below,
      overlay: { delta, blockSize: [4096, 16_384, 65_536][depth % 3] ?? 4096 },
    });
    t.equal(bench.device.layers().length, depth + 1);
    bench.check();
    below = delta;
  }
  bench.steps(25);
  bench.check();
  await bench.device.loopClrFd({ force: true });
  const oneMore = { file: below, overlay: { delta: bench.dir.file('one more') } };
  t.equal(await errnoOf(bench.device.loopConfigure(oneMore)), 'ELOOP');
});

t.test('threads that write parts of the same absent blocks lose none of them', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 2 * MIB, blockSize: BLOCK });
  await writeParts(bench.device.queue.shared, { lanes: 4, blocks: 512, blockSize: BLOCK });
  for (let lane = 0; lane < 4; lane++) {
    for (let block = 0; block < 512; block++) {
      const at = block * BLOCK + lane * (BLOCK / 4);
      bench.model.fill(lane + 1, at, at + BLOCK / 4);
    }
  }
  bench.check();
  t.equal(bench.device.layers()[0]?.heldBlocks, 512);
});

t.test('the bitmap on disk tells of blocks when they were flushed, and not before', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 4 * MIB, blockSize: BLOCK });
  const fd = openSync(bench.delta, 'r');
  const onDisk = (): number[] => {
    const bits = Buffer.alloc(128);
    readSync(fd, bits, 0, 128, BITMAP_OFFSET);
    return [...bits.entries()].flatMap(([byte, value]) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (value & (1 << bit)) !== 0).map((bit) => byte * 8 + bit),
    );
  };
  bench.write(5 * BLOCK, Buffer.alloc(BLOCK, 1));
  bench.write(9 * BLOCK + 512, Buffer.alloc(512, 1), 1);
  t.strictSame(onDisk(), []);
  bench.flush();
  t.strictSame(onDisk(), [5, 9]);
  bench.write(5 * BLOCK, Buffer.alloc(BLOCK, 2));
  bench.write(700 * BLOCK, Buffer.alloc(BLOCK, 2));
  t.strictSame(onDisk(), [5, 9]);
  const backend = bench.backend(1);
  backend.enter();
  t.equal(backend.trim(20 * BLOCK, 2 * BLOCK), 0);
  t.equal(backend.flush(), 0, 'of another thread');
  t.strictSame(onDisk(), [5, 9, 20, 21, 700]);
  t.equal(backend.held(0, MIB), -5 * BLOCK);
  t.equal(backend.held(20 * BLOCK + 100, MIB), 2 * BLOCK - 100);
  t.equal(backend.extent(20 * BLOCK, 2 * BLOCK), -2 * BLOCK, 'and they are a hole');
  backend.exit();
});

t.test('what lies in a delta where it holds nothing never comes to light', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB, blockSize: BLOCK });
  await bench.device.loopClrFd({ force: true });
  // As a crash leaves it: data that no bit tells of.
  const delta = readFileSync(bench.delta);
  delta.fill(0xee, MIB);
  writeFileSync(bench.delta, delta);
  await bench.bind({ file: bench.base, overlay: { delta: bench.delta } });
  bench.check();
  bench.steps(200);
  bench.check();
  t.pass();
});
