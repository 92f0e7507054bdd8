import { rmSync } from 'node:fs';
import t from 'tap';
import { Word } from '../../../driver/queue/slots.js';
import { errnoOf, isPending, LoopBench, MIB, stuckRequest } from '../../helpers/loop-bench.js';

t.test('a read-only device takes another file of its size', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ readOnly: true });
  const before = device.snapshot();
  const other = bench.file('other.img');
  await device.loopChangeFd(other);
  t.match(device.snapshot(), { file: other, state: 'bound', size: MIB, readOnly: true });
  t.ok(device.snapshot().generation > before.generation, 'what was learned of the old file is void');
  t.equal(bench.history(device), 'add bind change');
});

t.test('what is refused, in order', async (t) => {
  await using bench = new LoopBench();
  const unbound = await bench.device();
  t.equal(await errnoOf(unbound.loopChangeFd('/nowhere')), 'ENXIO');
  const writable = await bench.bound();
  t.equal(await errnoOf(writable.loopChangeFd('/nowhere')), 'EINVAL', 'not read-only');
  t.equal(await errnoOf(writable.loopChangeFd(bench.file('a'))), 'EINVAL', 'not read-only');
  const device = await bench.bound({ readOnly: true });
  const before = device.snapshot();
  t.equal(await errnoOf(device.loopChangeFd('/nowhere')), 'EBADF');
  t.equal(await errnoOf(device.loopChangeFd('/dev/null')), 'EINVAL');
  t.equal(await errnoOf(device.loopChangeFd(bench.file('large', 2 * MIB))), 'EINVAL', 'another size');
  t.equal(
    await errnoOf(device.loopChangeFd(bench.file('odd', MIB + 511))),
    'none',
    'in whole sectors the same',
  );
  await device.loopChangeFd(before.file ?? '');
  t.same({ ...device.snapshot(), generation: 0 }, { ...before, generation: 0 });
});

t.test('the window counts: sizes are compared behind offset and limit', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  await device.loopConfigure({ file: bench.file('a'), readOnly: true, offset: 512, sizeLimit: 4096 });
  await device.loopChangeFd(bench.file('b', 8192));
  t.equal(device.snapshot().size, 4096);
  t.equal(await errnoOf(device.loopChangeFd(bench.file('c', 4096))), 'EINVAL');
});

t.test('the swap waits for requests, and the old file lives until then', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ readOnly: true });
  const words = new Int32Array(device.queue.shared);
  const fd = words[Word.FD];
  const finish = stuckRequest(device);
  const changing = device.loopChangeFd(bench.file('other.img'));
  t.ok(await isPending(changing));
  t.equal(words[Word.FD], fd);
  finish();
  await changing;
  t.not(words[Word.FD], fd);
});

t.test('a deleted file is still served, and can be replaced', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ readOnly: true });
  rmSync(bench.dir.file('loop0.img'));
  await device.loopSetCapacity();
  t.match(device.snapshot(), { state: 'bound', size: MIB });
  const next = bench.file('next.img');
  await device.loopChangeFd(next);
  t.equal(device.snapshot().file, next);
});
