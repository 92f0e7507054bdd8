/** What a device does with an overlay as with a file: rows of the table in docs/semantics.md. */
import t from 'tap';
import { errnoOf, MIB } from '../../helpers/loop-bench.js';
import { OverlayBench } from '../../helpers/overlays.js';

t.test('set_status: a window onto what the delta shows, and back', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 2 * MIB });
  bench.steps(50);
  const whole = bench.model;
  await bench.device.loopSetStatus({ offset: 4096 + 512, sizeLimit: MIB });
  t.match(bench.device.snapshot(), { offset: 4608, sizeLimit: MIB, size: MIB });
  bench.model = whole.subarray(4608, 4608 + MIB);
  bench.check();
  bench.steps(50);
  bench.check();
  await bench.device.loopSetStatus({ offset: 0, sizeLimit: 0 });
  bench.model = whole;
  bench.check();
  t.equal(bench.device.snapshot().size, 2 * MIB);
});

t.test('set_block_size: what was written in parts of a block stays', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  bench.write(700, Buffer.alloc(100, 1));
  await bench.device.loopSetBlockSize(4096);
  t.equal(bench.device.snapshot().blockSize, 4096);
  bench.check();
  t.equal(await errnoOf(bench.device.loopSetBlockSize(1000)), 'EINVAL');
});

t.test('the dirty map tells of what was changed in the device, whatever the delta held before', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 4 * MIB });
  bench.write(2 * MIB, Buffer.alloc(4096, 1));
  await bench.rebind({ file: bench.base, overlay: { delta: bench.delta } });
  const backend = bench.backend();
  const runs = (what: 'dirty' | 'held'): number[] => {
    const found: number[] = [];
    backend.enter();
    for (let at = 0; at < bench.model.length; ) {
      const run = backend[what](at, bench.model.length - at);
      found.push(run);
      at += Math.abs(run);
    }
    backend.exit();
    return found;
  };
  t.ok(
    runs('dirty').every((run) => run < 0),
    'nothing yet',
  );
  t.strictSame(runs('held'), [-2 * MIB, 4096, -(2 * MIB - 4096)]);
  bench.write(3 * MIB, Buffer.alloc(512, 2));
  let at = 0;
  const isDirty = runs('dirty').some((run) => {
    const holds = run > 0 && at <= 3 * MIB && at + run > 3 * MIB;
    at += Math.abs(run);
    return holds;
  });
  t.ok(isDirty, 'what was written just now');
  await bench.device.loopSetCapacity();
  t.ok(
    runs('dirty').some((run) => run > 0),
    'it stays over a look at the size',
  );
});
