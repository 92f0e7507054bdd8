import t from 'tap';
import { Num } from '../../../driver/queue/slots.js';
import { errnoOf, isPending, LoopBench, MIB, stuckRequest } from '../../helpers/loop-bench.js';

t.test('on an unbound device every operation is ENXIO, whatever its arguments', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  const operations = [
    device.loopSetStatus({ offset: -1 }),
    device.loopSetCapacity(),
    device.loopSetDio(true),
    device.loopSetBlockSize(3),
    device.loopGetStatus(),
    device.loopClrFd(),
    device.loopChangeFd('/nowhere'),
  ];
  t.same(
    await Promise.all(operations.map(errnoOf)),
    operations.map(() => 'ENXIO'),
  );
  t.equal(bench.history(device), 'add');
});

t.test('offset and limit move the window, and the size follows', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  await device.loopSetStatus({ offset: 4096 });
  t.match(device.snapshot(), { offset: 4096, sizeLimit: 0, size: MIB - 4096 });
  await device.loopSetStatus({ sizeLimit: 8192n });
  t.match(device.snapshot(), { offset: 4096, sizeLimit: 8192, size: 8192 });
  await device.loopSetStatus({ offset: 0, sizeLimit: 0 });
  t.match(device.snapshot(), { offset: 0, sizeLimit: 0, size: MIB });
  t.equal(new Float64Array(device.queue.shared)[Num.SIZE], MIB);
  t.equal(bench.history(device), 'add bind change change change');
});

t.test('autoclear is set and cleared, partscan only set, nothing else', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  await device.loopSetStatus({ autoclear: true, partscan: true });
  t.match(device.snapshot(), { autoclear: true, partscan: true });
  await device.loopSetStatus({ autoclear: false, partscan: false });
  t.match(device.snapshot(), { autoclear: false, partscan: true });
  await device.loopSetStatus({});
  t.equal(bench.history(device), 'add bind change change', 'no change, no event');
  const flag = { readOnly: true } as object;
  t.equal(await errnoOf(device.loopSetStatus(flag)), 'EINVAL');
  t.equal(await errnoOf(device.loopSetStatus({ offset: 2n ** 63n })), 'EOVERFLOW');
  t.match(device.snapshot(), { readOnly: false, offset: 0, size: MIB });
});

t.test('a grown or shrunken file counts when the capacity is set, not before', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  bench.resize('loop0.img', 2 * MIB);
  await device.loopSetStatus({ autoclear: true });
  t.equal(device.snapshot().size, MIB, 'flags leave the size alone');
  await device.loopSetCapacity();
  t.equal(device.snapshot().size, 2 * MIB);
  bench.resize('loop0.img', 1000);
  await device.loopSetCapacity();
  t.equal(device.snapshot().size, 512);
  await device.loopSetCapacity();
  t.equal(bench.history(device), 'add bind change change change');
});

t.test('block sizes', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  for (const bytes of [512, 1024, 2048, 4096]) {
    await device.loopSetBlockSize(bytes);
    t.equal(device.snapshot().blockSize, bytes);
  }
  for (const bytes of [0, 1, 256, 513, 8192, -512, 2 ** 32 + 512, Number.NaN]) {
    t.equal(await errnoOf(device.loopSetBlockSize(bytes)), 'EINVAL', String(bytes));
  }
  t.equal(device.snapshot().blockSize, 4096);
});

t.test('a new window waits for the requests in flight, and tells of itself after the thaw', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  const finish = stuckRequest(device);
  let atEvent: { depth: number; locked: number } | undefined;
  bench.control.events.on('change', () => {
    const held = bench.control.order.snapshot().holders.length;
    atEvent = { depth: device.queue.freezeDepth, locked: held };
  });
  const moving = device.loopSetStatus({ offset: 512 });
  t.ok(await isPending(moving));
  t.equal(device.snapshot().offset, 0, 'not half way');
  t.equal(new Float64Array(device.queue.shared)[Num.OFFSET], 0);
  t.equal(atEvent, undefined);
  finish();
  await moving;
  t.same(atEvent, { depth: 0, locked: 0 });
});
